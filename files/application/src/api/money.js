'use strict';

// Money moves between wallets, in whole cents, in one transaction, under locks that are taken in one order.

const { ApiError } = require('./errors');
const { canBeKey } = require('./queries');

class Money {
  constructor(database) {
    this.database = database;
  }

  /**
   * Move an amount from one wallet to another.
   * @returns {Promise<{from: string, to: string, amount: number, balance: number}>} `balance`: what is left.
   */
  transfer(from, { to, amount, description = null }) {
    checkAmount(amount);
    if (typeof to !== 'string' || to === from) throw new ApiError(400, 'to has to be the id of another wallet');
    return this.database.transaction(async (transaction) => {
      const wallets = await this.#locked([from, to], transaction);
      const [source, sink] = [wallets.get(from), wallets.get(to)];
      if (source.currency !== sink.currency) throw new ApiError(409, 'the wallets have different currencies');
      if (source.balance < amount) throw new ApiError(409, 'the balance is too low');
      await source.update({ balance: source.balance - amount }, { transaction });
      await sink.update({ balance: sink.balance + amount }, { transaction });
      const entry = { type: 'TRANSFER', amount, description, fromWallet: from, toWallet: to };
      await this.#record(source, entry, transaction);
      await this.#record(sink, entry, transaction);
      return { from, to, amount, balance: source.balance };
    });
  }

  /** Put an amount into a wallet. */
  deposit(into, { amount, description = null }) {
    checkAmount(amount);
    return this.database.transaction(async (transaction) => {
      const wallet = (await this.#locked([into], transaction)).get(into);
      const totals = { balance: wallet.balance + amount, totalDeposited: (wallet.totalDeposited ?? 0) + amount };
      await wallet.update(totals, { transaction });
      await this.#record(wallet, { type: 'DEPOSIT', amount, description, toWallet: into }, transaction);
      return { to: into, amount, balance: wallet.balance };
    });
  }

  /** The wallets, none of which anybody else changes before the transaction ends; SQLite has locked all of it. */
  async #locked(keys, transaction) {
    const { Wallet } = this.database.models;
    const wallets = new Map();
    // In the order of the keys: two transfers between the same wallets would otherwise wait for each other.
    for (const key of [...keys].sort()) {
      const wallet = canBeKey(Wallet.rawAttributes.id.type, key)
        ? await Wallet.findByPk(key, { transaction, lock: transaction.LOCK.UPDATE })
        : null;
      if (!wallet) throw new ApiError(404, `there is no Wallet ${key}`);
      if (wallet.status !== 'ACTIVE') throw new ApiError(409, `the wallet ${key} is not active`);
      wallets.set(key, wallet);
    }
    return wallets;
  }

  #record(wallet, entry, transaction) {
    const values = { ...entry, walletId: wallet.id, currency: wallet.currency, status: 'COMPLETED' };
    return this.database.models.WalletTransaction.create({ ...values, processedAt: new Date() }, { transaction });
  }
}

function checkAmount(amount) {
  if (!Number.isSafeInteger(amount) || amount < 1) {
    throw new ApiError(400, 'amount has to be a whole number of cents, at least 1');
  }
}

module.exports = { Money };
