'use strict';

// The twelve tables. On SQLite they are made as the deployed application's own models make them; on PostgreSQL they
// belong to the profile of the move, and the application, which may not make tables there, only looks whether all is
// there.

const { definitions } = require('../models/definitions');
const { verify } = require('../models/verify');

const DEPLOYED_NAMES = { isEmailVerified: 'emailVerified' };
const INDEXES = {
  users: [['role'], ['status'], ['createdAt']],
  projects: [['client', 'status'], ['freelancer', 'status'], ['status'], ['category'], ['deadline'], ['createdAt']],
  milestones: [['project', 'status'], ['status'], ['deadline'], ['createdAt']],
  transactions: [['projectId', 'type'], ['milestoneId'], ['from', 'type'], ['to', 'type'], ['status'], ['createdAt']],
  disputes: [['project', 'status'], ['milestone'], ['raisedBy'], ['status'], ['createdAt']],
  notifications: [['userId', 'read'], ['userId', 'type'], ['type'], ['createdAt']],
  messages: [['conversationId', 'createdAt'], ['projectId', 'createdAt'], ['senderId'], ['createdAt']],
  conversations: [['projectId', 'status'], ['status'], ['createdAt']],
  wallets: [['userId']],
  wallet_transactions: [['walletId'], ['fromWallet'], ['toWallet']],
};

/** The column as the deployed application declares it. */
function column(wanted, DataTypes) {
  const types = {
    key: DataTypes.STRING,
    string: DataTypes.STRING,
    text: DataTypes.TEXT,
    enum: DataTypes.TEXT,
    json: DataTypes.JSON,
    jsonText: DataTypes.TEXT,
    boolean: DataTypes.BOOLEAN,
    integer: DataTypes.INTEGER,
    decimal: DataTypes.DECIMAL(5, 2),
    date: DataTypes.DATE,
  };
  const made = { type: types[wanted.kind] };
  if (wanted.required) made.allowNull = false;
  if (wanted.unique) made.unique = true;
  if (wanted.byDefault !== undefined) {
    made.defaultValue = wanted.kind === 'jsonText' ? JSON.stringify(wanted.byDefault) : wanted.byDefault;
  }
  if (wanted.references) made.references = { model: wanted.references, key: '_id' };
  return made;
}

module.exports = {
  async up(queryInterface, { DataTypes }) {
    const { sequelize } = queryInterface;
    const wanted = Object.values(definitions).flatMap(({ table, attributes }) =>
      Object.keys(attributes)
        .filter((name) => !attributes[name].optional)
        .map((name) => [table, name]),
    );
    if (sequelize.getDialect() === 'postgres' || (await queryInterface.tableExists('users'))) {
      await verify(sequelize, wanted);
      return;
    }
    await sequelize.transaction(async (transaction) => {
      for (const { table, attributes } of Object.values(definitions)) {
        const columns = { _id: { type: DataTypes.STRING, primaryKey: true } };
        for (const [name, each] of Object.entries(attributes)) {
          if (!each.optional) columns[DEPLOYED_NAMES[name] ?? name] = column(each, DataTypes);
        }
        await queryInterface.createTable(table, columns, { transaction });
        for (const fields of INDEXES[table] ?? []) {
          await queryInterface.addIndex(table, fields, { name: `idx_${table}_${fields.join('_')}`, transaction });
        }
      }
    });
  },

  async down(queryInterface) {
    const { sequelize } = queryInterface;
    if (sequelize.getDialect() === 'postgres') throw new Error('the tables on PostgreSQL belong to the profile');
    for (const { table } of Object.values(definitions).reverse()) await queryInterface.dropTable(table);
  },
};
