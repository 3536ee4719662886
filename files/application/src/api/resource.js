'use strict';

// One kind of row over HTTP: create, list, search, read, update, and delete where the rows are deleted softly.

const express = require('express');
const { Op } = require('sequelize');
const { definitions } = require('../models/definitions');
const { ApiError } = require('./errors');
const { canBeKey, contains, equals, orderBy, page } = require('./queries');

// In the query, but no column.
const WORDS = ['limit', 'offset', 'order', 'q'];

class Resource {
  /**
   * @param {ApplicationDatabase} database
   * @param {string} name The model's.
   * @param {{searched?: string[], fixed?: string[], prepare?: (values: object) => Promise<object>}} options
   *   `searched`: columns that a search looks into; `fixed`: what an update may not change; `prepare`: what is done to
   *   the values of a request before they are stored.
   */
  constructor(database, name, { searched = [], fixed = [], prepare = async (values) => values } = {}) {
    Object.assign(this, { database, name, searched, fixed, prepare });
    this.model = database.models[name];
    const attributes = Object.entries(definitions[name].attributes);
    // What not every form of the tables has would make the answers differ.
    this.visible = ['id', ...attributes.filter(([, each]) => !each.secret && !each.optional).map(([key]) => key)];
    this.filters = this.visible.filter((key) => !this.#kind(key)?.match(/^(json|jsonText|date|text)$/));
    this.sortable = this.visible.filter((key) => !this.#kind(key)?.match(/^(json|jsonText)$/));
    this.writable = attributes.filter(([, each]) => !each.automatic).map(([key]) => key);
  }

  #kind(key) {
    return definitions[this.name].attributes[key]?.kind;
  }

  /** The row as it is answered. */
  show(row) {
    return Object.fromEntries(this.visible.map((key) => [key, row.get(key) ?? null]));
  }

  /** The row of a key. @throws {ApiError} 404 */
  async find(key, options = {}) {
    const { model } = this;
    const row = canBeKey(model.rawAttributes.id.type, key)
      ? await this.database.read(() => model.findByPk(key, options))
      : null;
    if (!row) throw new ApiError(404, `there is no ${this.name} ${key}`);
    return row;
  }

  async list(query, conditions = []) {
    for (const key of Object.keys(query)) {
      if (!WORDS.includes(key) && !this.filters.includes(key)) throw new ApiError(400, `${key} is no filter here`);
      if (typeof query[key] !== 'string') throw new ApiError(400, `${key} stands more than once`);
    }
    // Not as a mere array: in that Sequelize does not put the columns' names for the attributes'.
    const wanted = [
      ...conditions,
      ...Object.keys(query)
        .filter((key) => !WORDS.includes(key))
        .map((key) => equals(this.model, key, query[key])),
    ];
    // A list without an order is another one each time, on PostgreSQL above all.
    const order = orderBy(this.model, query.order ?? 'createdAt', this.sortable);
    const found = await this.database.read(() =>
      this.model.findAndCountAll({ where: { [Op.and]: wanted }, order, ...page(query) }),
    );
    return { items: found.rows.map((row) => this.show(row)), total: found.count };
  }

  search(query) {
    if (typeof query.q !== 'string' || query.q === '') throw new ApiError(400, 'q has to say what to search for');
    return this.list(query, [contains(this.model, this.searched, query.q)]);
  }

  async create(body) {
    const values = await this.prepare(this.#checked(body, this.writable));
    return this.show(await this.database.write(() => this.model.create(values)));
  }

  async update(key, body) {
    const allowed = this.writable.filter((name) => !this.fixed.includes(name));
    const values = await this.prepare(this.#checked(body, allowed));
    const row = await this.find(key);
    return this.show(await this.database.write(() => row.update(values)));
  }

  async remove(key) {
    if (!this.model.options.paranoid) {
      const mend = 'contralock migrate adds it on SQLite, a schema change of the profile on PostgreSQL; then restart';
      throw new ApiError(409, `there is no column deletedAt, in which a deleted ${this.name} is marked: ${mend}`);
    }
    const row = await this.find(key);
    await this.database.write(() => row.destroy());
  }

  #checked(body, allowed) {
    for (const key of Object.keys(body)) {
      if (!allowed.includes(key)) throw new ApiError(400, `${key} cannot be set`);
      // This form of the tables has no place for it.
      if (!(key in this.model.rawAttributes)) throw new ApiError(409, `the database has no column for ${key}`);
    }
    return body;
  }

  router({ deletable = false } = {}) {
    const router = express.Router();
    router.get('/', async (request, response) => response.json(await this.list(request.query)));
    router.post('/', async (request, response) => response.status(201).json(await this.create(request.body)));
    if (this.searched.length > 0) {
      router.get('/search', async (request, response) => response.json(await this.search(request.query)));
    }
    router.get('/:id', async (request, response) => response.json(this.show(await this.find(request.params.id))));
    router.patch('/:id', async (request, response) =>
      response.json(await this.update(request.params.id, request.body)),
    );
    if (deletable) {
      router.delete('/:id', async (request, response) => {
        await this.remove(request.params.id);
        response.status(204).end();
      });
    }
    return router;
  }
}

module.exports = { Resource };
