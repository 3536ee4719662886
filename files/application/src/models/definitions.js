'use strict';

// The application's twelve tables, once. What a column is called and how it is typed is looked up in the database
// (models/index.js); SQLite's deployed form is made from here as well (migrations/).

const { LARGEST_INTEGER } = require('./validations');

const kind = (name, more = {}) => ({ kind: name, ...more });
const string = (more) => kind('string', more);
const text = (more) => kind('text', more);
const cents = (more) => kind('integer', { least: 0, ...more });
// A count; an integer on every PostgreSQL, where sums may be bigint.
const integer = (byDefault, more) => kind('integer', { byDefault, most: LARGEST_INTEGER, ...more });
const boolean = (byDefault) => kind('boolean', { byDefault });
const date = (more) => kind('date', more);
const json = (more) => kind('json', more);
// JSON that the deployed application keeps in TEXT.
const jsonText = (more) => kind('jsonText', more);
const reference = (table, more) => kind('key', { references: table, ...more });
// The id of a row without a foreign key.
const identifier = () => kind('key');
const oneOf = (labels, byDefault, more) => kind('enum', { labels: labels.split(' '), byDefault, ...more });
const required = { required: true };
const secret = { secret: true };
// In the plan's models, not in the deployed application's.
const optional = { optional: true };

const trimmedLower = (value) => (typeof value === 'string' ? value.toLowerCase().trim() : value);

const PAYMENTS = 'PENDING COMPLETED FAILED REFUNDED';
const times = { createdAt: date({ automatic: true }), updatedAt: date({ automatic: true }) };

const definitions = {
  User: {
    table: 'users',
    attributes: {
      email: string({ ...required, unique: true, set: trimmedLower, isEmail: true }),
      password: string({ ...required, ...secret }),
      firstName: string(required),
      lastName: string(required),
      role: oneOf('client freelancer admin', undefined, required),
      // The deployed model knows three; registration writes the fourth.
      status: oneOf('pending verified suspended active', 'pending'),
      profile: json(),
      resetPasswordToken: string(secret),
      resetPasswordExpires: date(secret),
      emailVerificationToken: string(secret),
      isEmailVerified: boolean(false),
      twoFactorEnabled: boolean(false),
      twoFactorSecret: string(secret),
      twoFactorVerifiedAt: date(secret),
      twoFactorLockedUntil: date(secret),
      twoFactorFailedAttempts: integer(0, secret),
      backupCodes: jsonText(secret),
      googleId: string(secret),
      linkedinId: string(secret),
      avatar: string(optional),
      phone: string(optional),
      bio: text(optional),
      isKYCVerified: kind('boolean', { byDefault: false, ...optional }),
      stripeCustomerId: string({ ...optional, ...secret }),
      notificationPreferences: json({
        ...optional,
        byDefault: { email: true, push: true, projectUpdates: true, paymentNotifications: true },
      }),
      deletedAt: date({ ...optional, automatic: true }),
      ...times,
    },
  },
  Project: {
    table: 'projects',
    attributes: {
      title: string(required),
      description: text(required),
      category: oneOf('Design Development Writing Marketing Consulting Other', undefined, required),
      budget: cents(required),
      deadline: date(required),
      status: oneOf(
        'DRAFT PENDING_ACCEPTANCE AWAITING_DEPOSIT ACTIVE ON_HOLD COMPLETED CANCELLED DISPUTED ARCHIVED',
        'DRAFT',
      ),
      client: reference('users', required),
      freelancer: reference('users'),
      milestones: jsonText(),
      progress: jsonText(),
      escrow: jsonText(),
      currency: string({ byDefault: 'USD' }),
      paymentSchedule: jsonText(),
      activityLog: jsonText(),
      ...times,
    },
  },
  Milestone: {
    table: 'milestones',
    attributes: {
      title: string(required),
      description: text(required),
      amount: cents(required),
      deadline: date(required),
      acceptanceCriteria: text(required),
      project: reference('projects', required),
      status: oneOf('PENDING IN_PROGRESS SUBMITTED REVISION_REQUESTED APPROVED DISPUTED', 'PENDING'),
      submittedAt: date(),
      approvedAt: date(),
      revisionHistory: jsonText(),
      currency: string({ byDefault: 'USD' }),
      deliverables: jsonText(),
      ...times,
    },
  },
  Transaction: {
    table: 'transactions',
    attributes: {
      projectId: reference('projects', required),
      milestoneId: reference('milestones'),
      disputeId: identifier(),
      type: oneOf(
        'DEPOSIT MILESTONE_RELEASE DISPUTE_REFUND DISPUTE_PAYMENT ADMIN_ADJUSTMENT REFUND',
        undefined,
        required,
      ),
      amount: kind('integer', required),
      currency: string({ byDefault: 'USD' }),
      from: reference('users'),
      to: reference('users'),
      status: oneOf(PAYMENTS, 'PENDING'),
      provider: string(required),
      providerTransactionId: string(),
      description: string(),
      fees: jsonText(),
      processedAt: date(),
      failureReason: string(),
      metadata: jsonText(),
      ...times,
    },
  },
  Dispute: {
    table: 'disputes',
    attributes: {
      project: reference('projects', required),
      milestone: reference('milestones', required),
      raisedBy: reference('users', required),
      reason: text(required),
      evidence: jsonText(),
      status: oneOf(
        'PENDING_FEE PENDING_REVIEW SELF_RESOLUTION IN_MEDIATION IN_ARBITRATION AWAITING_OUTCOME RESOLVED ESCALATED',
        'PENDING_FEE',
      ),
      aiAnalysis: jsonText(),
      mediator: reference('users'),
      arbitrator: reference('users'),
      resolution: jsonText(),
      messages: jsonText(),
      disputeFee: jsonText(),
      evidenceSubmitted: jsonText(),
      timeline: jsonText(),
      appeal: jsonText(),
      ...times,
    },
  },
  Notification: {
    table: 'notifications',
    attributes: {
      userId: reference('users', required),
      type: oneOf(
        'PROJECT_INVITE MILESTONE_SUBMITTED MILESTONE_APPROVED MILESTONE_REVISION_REQUESTED PAYMENT_RELEASED' +
          ' DISPUTE_RAISED DISPUTE_RESOLVED PAYMENT_DUE DEADLINE_REMINDER SYSTEM_MESSAGE VERIFICATION_REQUIRED',
        undefined,
        required,
      ),
      title: string(required),
      message: text(required),
      data: jsonText(),
      read: boolean(false),
      readAt: date(),
      relatedEntity: oneOf('Project Milestone Dispute Transaction User'),
      relatedEntityId: identifier(),
      priority: oneOf('LOW NORMAL HIGH URGENT', 'NORMAL'),
      sentVia: jsonText(),
      scheduledFor: date(),
      ...times,
    },
  },
  Arbitrator: {
    table: 'arbitrators',
    attributes: {
      user: reference('users', required),
      specialties: jsonText(),
      rating: jsonText(),
      casesCompleted: integer(0),
      successRate: kind('decimal', { byDefault: 0 }),
      availability: boolean(true),
      active: boolean(true),
      verification: jsonText(),
      earnings: jsonText(),
      ...times,
    },
  },
  Conversation: {
    table: 'conversations',
    attributes: {
      projectId: reference('projects', required),
      participants: jsonText(required),
      unreadCount: integer(0),
      lastMessageId: identifier(),
      lastMessage: text(),
      lastMessageAt: date(),
      status: oneOf('ACTIVE ARCHIVED DELETED', 'ACTIVE'),
      isArchived: boolean(false),
      ...times,
    },
  },
  Message: {
    table: 'messages',
    attributes: {
      projectId: reference('projects', required),
      conversationId: reference('conversations'),
      senderId: reference('users', required),
      senderRole: oneOf('client freelancer', undefined, required),
      content: text(required),
      type: oneOf('TEXT FILE NOTIFICATION', 'TEXT'),
      status: oneOf('SENT DELIVERED READ', 'SENT'),
      isSystemMessage: boolean(false),
      parentId: identifier(),
      attachments: jsonText(),
      readBy: jsonText({ byDefault: [] }),
      sentAt: date(),
      readAt: date(),
      ...times,
    },
  },
  Wallet: {
    table: 'wallets',
    attributes: {
      userId: reference('users', required),
      balance: cents({ byDefault: 0, ...required }),
      currency: string({ byDefault: 'USD', ...required }),
      status: oneOf('ACTIVE FROZEN CLOSED', 'ACTIVE'),
      lockedBalance: cents({ byDefault: 0 }),
      totalDeposited: cents({ byDefault: 0 }),
      totalWithdrawn: cents({ byDefault: 0 }),
      ...times,
    },
  },
  WalletTransaction: {
    table: 'wallet_transactions',
    attributes: {
      walletId: reference('wallets', required),
      type: oneOf(
        'DEPOSIT WITHDRAWAL TRANSFER PROJECT_FUNDS PROJECT_REFUND MILESTONE_PAYMENT MILESTONE_INCOME REFUND FEE' +
          ' ADMIN_ADJUSTMENT',
        undefined,
        required,
      ),
      amount: kind('integer', required),
      currency: string({ byDefault: 'USD' }),
      fromWallet: reference('wallets'),
      toWallet: reference('wallets'),
      relatedEntity: oneOf('Project Milestone Transaction User Dispute'),
      relatedEntityId: identifier(),
      description: string(),
      status: oneOf(PAYMENTS, 'PENDING'),
      fees: jsonText(),
      processedAt: date(),
      failureReason: string(),
      metadata: jsonText(),
      ...times,
    },
  },
  AuditTrail: {
    table: 'audit_trails',
    attributes: {
      action: string(required),
      userId: reference('users'),
      entityType: string(),
      entityId: identifier(),
      oldValues: jsonText(secret),
      newValues: jsonText(secret),
      ipAddress: string(),
      userAgent: text(),
      traceId: string(),
      metadata: jsonText(secret),
      ...times,
    },
  },
};

module.exports = { definitions };
