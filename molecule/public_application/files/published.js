'use strict';

// What the published application does to its tables when it starts: its models as it declares them, sync(), and its
// service for indexes. Usage: published.js PROGRAM, the directory of the sample application, in its working directory.

const [program] = process.argv.slice(2);
const { DataTypes } = require('sequelize');
const { DatabaseFactory } = require(`${program}/src/config/databaseFactory`);
const { readSettings } = require(`${program}/src/config/settings`);
const { definitions } = require(`${program}/src/models/definitions`);

const TYPES = {
  key: DataTypes.STRING,
  string: DataTypes.STRING,
  text: DataTypes.TEXT,
  json: DataTypes.JSON,
  jsonText: DataTypes.TEXT,
  boolean: DataTypes.BOOLEAN,
  integer: DataTypes.INTEGER,
  decimal: DataTypes.DECIMAL(5, 2),
  date: DataTypes.DATE,
};

function declared({ kind, labels, required, unique, byDefault, references }) {
  // Its model of users forgot the status that its registration writes.
  const type = kind === 'enum' ? DataTypes.ENUM(...labels.filter((label) => label !== 'active')) : TYPES[kind];
  return {
    type,
    allowNull: !required,
    unique,
    defaultValue: kind === 'jsonText' && byDefault ? JSON.stringify(byDefault) : byDefault,
    references: references && { model: references, key: '_id' },
  };
}

async function main() {
  const settings = readSettings(process.cwd(), process.env);
  const sequelize = DatabaseFactory.createDatabase(settings);
  for (const [name, { table, attributes }] of Object.entries(definitions)) {
    const columns = { _id: { type: DataTypes.STRING, primaryKey: true } };
    for (const [attribute, wanted] of Object.entries(attributes)) {
      const known = attribute === 'isEmailVerified' ? 'emailVerified' : attribute;
      if (!wanted.optional) columns[known] = declared(wanted);
    }
    sequelize.define(name, columns, { tableName: table, timestamps: false });
  }
  // On SQLite it alters, too; what that leaves is in the source that these hosts have from the start.
  await sequelize.sync({ alter: settings.type === 'postgresql' });
  await sequelize.query('CREATE INDEX IF NOT EXISTS idx_users_role_status ON users (role, status)');
  await sequelize.close();
}

main().catch((error) => {
  console.error(`sync: ${error.message}`);
  process.exitCode = 1;
});
