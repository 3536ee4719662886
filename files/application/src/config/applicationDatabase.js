'use strict';

const { Transaction } = require('sequelize');
const { Metrics } = require('../health/metrics');
const { loadModels } = require('../models');
const { DatabaseFactory } = require('./databaseFactory');
const { UnknownFateError, classify, withRetries } = require('./retries');

/** One after the other: what is given to `run` begins when what was given before has ended. */
class Queue {
  #last = Promise.resolve();

  run(work) {
    const now = this.#last.then(work);
    this.#last = now.catch(() => {});
    return now;
  }
}

/** The application's database: models on the tables that are there, and the three ways to work with them. */
class ApplicationDatabase {
  // SQLite has one writer. Several of one process would sit in the four threads of libuv and wait there for the one
  // whose COMMIT finds no thread any more.
  #writers = new Queue();

  /** Connect, and find the models' tables. Throws what the database says when that fails; nothing is tried twice here. */
  static async open(settings, options = {}) {
    const database = new ApplicationDatabase(settings, options);
    try {
      if (options.create) await database.sequelize.authenticate();
      else database.models = await loadModels(database.sequelize);
    } catch (error) {
      await database.close();
      throw error;
    }
    return database;
  }

  constructor(settings, options) {
    this.settings = settings;
    this.type = settings.type;
    this.metrics = new Metrics();
    this.sequelize = DatabaseFactory.createDatabase(settings, options);
    this.metrics.watch(this.sequelize);
    this.models = {};
  }

  /** Work that writes nothing; it is tried again when the connection was lost. */
  read(work) {
    return withRetries(work, { repeatable: true });
  }

  /** One statement that writes. When the connection is lost meanwhile, nobody knows whether it was done. */
  write(work) {
    return this.#queued(() => withRetries(work, { repeatable: false }));
  }

  /** All or nothing: `work` gets the transaction and is tried again as long as its COMMIT was not sent. */
  transaction(work) {
    return this.#queued(() => withRetries(() => this.#once(work), { repeatable: true }));
  }

  async #once(work) {
    const transaction = await this.sequelize.transaction({ type: Transaction.TYPES.IMMEDIATE });
    let result;
    try {
      result = await work(transaction);
    } catch (error) {
      // Where the connection is gone, the transaction is gone with it.
      await transaction.rollback().catch(() => {});
      throw error;
    }
    try {
      await transaction.commit();
    } catch (error) {
      throw classify(error) === 'dropped' ? new UnknownFateError(error) : error;
    }
    return result;
  }

  #queued(work) {
    return this.type === 'sqlite' ? this.#writers.run(work) : work();
  }

  close() {
    return this.sequelize.close();
  }
}

module.exports = { ApplicationDatabase };
