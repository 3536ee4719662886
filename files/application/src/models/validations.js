'use strict';

// What PostgreSQL refuses and SQLite lets in is refused here, on both alike.

const LONGEST_STRING = 255;
const LARGEST_INTEGER = 2 ** 31 - 1;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const isText = (value) => typeof value === 'string';
// PostgreSQL counts code points.
const text255 = [
  `a text of at most ${LONGEST_STRING} characters`,
  (value) => isText(value) && [...value].length <= LONGEST_STRING,
];

/** What a value has to be and how that is seen, by the attribute's kind. `most`: the largest integer of its column. */
const RULES = {
  boolean: () => [['true or false', (value) => typeof value === 'boolean']],
  // Sequelize has made a Date of what it could; of an earlier year in SQLite it reads another one.
  date: () => [
    [
      'a time such as 2026-01-03T09:10:55.791Z, in a year from 1000 to 9999',
      (value) => value instanceof Date && value.getUTCFullYear() >= 1000 && value.getUTCFullYear() <= 9999,
    ],
  ],
  decimal: () => [['a number from -999.99 to 999.99', (value) => Number.isFinite(value) && Math.abs(value) <= 999.99]],
  enum: ({ labels }) => [[`one of ${labels.join(', ')}`, (value) => labels.includes(value)]],
  integer: ({ most, least = -most }) => [
    ['a whole number', Number.isSafeInteger],
    [`at least ${least}`, (value) => value >= least],
    [`at most ${most}`, (value) => value <= most],
  ],
  key: ({ isUuid }) => [isUuid ? ['a uuid in lower case', (value) => isText(value) && UUID.test(value)] : text255],
  string: () => [text255],
  text: () => [['a text', isText]],
};

/**
 * Sequelize's validations of an attribute.
 * @param {object} wanted From the definitions.
 * @param {{type: string}} column From `readTables`.
 */
function validations(wanted, column, dialect) {
  const most = dialect === 'postgres' && column.type === 'integer' ? LARGEST_INTEGER : Number.MAX_SAFE_INTEGER;
  const rules = RULES[wanted.kind]?.({ most, isUuid: column.type === 'uuid', ...wanted }) ?? [];
  return {
    ...(wanted.isEmail ? { isEmail: true } : {}),
    fits(value) {
      // Sequelize asks about NULL too; whether that may stand is said by allowNull.
      if (value === null || value === undefined) return;
      const broken = rules.find(([, holds]) => !holds(value));
      if (broken) throw new Error(`has to be ${broken[0]}`);
    },
  };
}

module.exports = { LARGEST_INTEGER, UUID, validations };
