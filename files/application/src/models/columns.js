'use strict';

// What the deployed application calls otherwise. Sequelize 6 itself makes is_k_y_c_verified of isKYCVerified, which
// folds to the same as is_kyc_verified.
const OTHER_NAMES = { id: ['_id'], isEmailVerified: ['emailVerified'] };

/** The column of an attribute in a table from `readTables`, or undefined. */
function columnOf(table, name) {
  const names = [name, ...(OTHER_NAMES[name] ?? [])];
  return names.map((each) => table.columns.get(each)).find((column) => column !== undefined);
}

module.exports = { columnOf };
