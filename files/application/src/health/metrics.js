'use strict';

// Metrics in Prometheus' text format 0.0.4. All label values are words of this file, so that nothing needs escaping.

const { classify } = require('../config/retries');

const BOUNDS_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10];
const STATEMENT = /^\s*(SELECT|INSERT|UPDATE|DELETE|BEGIN|START TRANSACTION|COMMIT|ROLLBACK)\b/i;

class Metrics {
  #queries = new Map();
  #errors = new Map([
    ['not_done', 0],
    ['dropped', 0],
    ['final', 0],
  ]);
  #buckets = BOUNDS_SECONDS.map(() => 0);
  #count = 0;
  #seconds = 0;

  /** Measure every statement of a Sequelize instance, those that begin and end a transaction included. */
  watch(sequelize) {
    const query = sequelize.query.bind(sequelize);
    sequelize.query = async (sql, options) => {
      const began = process.hrtime.bigint();
      try {
        return await query(sql, options);
      } catch (error) {
        const kind = classify(error);
        this.#errors.set(kind, this.#errors.get(kind) + 1);
        throw error;
      } finally {
        this.#add(String(sql.query ?? sql), Number(process.hrtime.bigint() - began) / 1e9);
      }
    };
  }

  #add(sql, seconds) {
    const verb = (STATEMENT.exec(sql)?.[1] ?? 'other').toLowerCase().replace('start transaction', 'begin');
    this.#queries.set(verb, (this.#queries.get(verb) ?? 0) + 1);
    this.#count += 1;
    this.#seconds += seconds;
    BOUNDS_SECONDS.forEach((bound, number) => {
      if (seconds <= bound) this.#buckets[number] += 1;
    });
  }

  /** The whole page: what was counted, and the pool (null for none) as it is now. */
  render(type, pool) {
    const lines = [
      ...head('contralock_database', 'gauge', 'The database that the application uses.'),
      `contralock_database{type="${type}"} 1`,
      ...head('contralock_queries_total', 'counter', 'Statements, by their first word.'),
      ...[...this.#queries].map(([verb, number]) => `contralock_queries_total{statement="${verb}"} ${number}`),
      ...head('contralock_query_errors_total', 'counter', 'Failed statements: not done, fate unknown, or final.'),
      ...[...this.#errors].map(([kind, number]) => `contralock_query_errors_total{kind="${kind}"} ${number}`),
      ...head('contralock_query_seconds', 'histogram', 'How long statements took.'),
      ...BOUNDS_SECONDS.map((bound, i) => `contralock_query_seconds_bucket{le="${bound}"} ${this.#buckets[i]}`),
      `contralock_query_seconds_bucket{le="+Inf"} ${this.#count}`,
      `contralock_query_seconds_sum ${this.#seconds}`,
      `contralock_query_seconds_count ${this.#count}`,
      ...(pool ? poolLines(pool) : []),
    ];
    return `${lines.join('\n')}\n`;
  }
}

/** The use of a Sequelize's pool; null on SQLite, which has none. */
function poolUse(sequelize) {
  if (sequelize.getDialect() === 'sqlite') return null;
  const { size, available, using, waiting } = sequelize.connectionManager.pool;
  return { size, available, using, waiting, max: sequelize.options.pool.max };
}

function head(name, type, help) {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function poolLines(pool) {
  return [
    ...head('contralock_pool_connections', 'gauge', 'Connections of the pool, and requests that wait for one.'),
    ...Object.entries(pool).map(([state, number]) => `contralock_pool_connections{state="${state}"} ${number}`),
  ];
}

module.exports = { Metrics, poolUse };
