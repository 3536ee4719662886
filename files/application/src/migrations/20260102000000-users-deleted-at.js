'use strict';

// The soft delete of users, which the plan's model has and the deployed table has not.

const { readTables } = require('../models/tables');
const { verify } = require('../models/verify');

module.exports = {
  async up(queryInterface, { DataTypes }) {
    const { sequelize } = queryInterface;
    const users = (await readTables(sequelize)).get('users');
    if (sequelize.getDialect() === 'postgres' || users.columns.get('deletedAt')) {
      await verify(sequelize, [['users', 'deletedAt']]);
    } else {
      await queryInterface.addColumn(users.name, 'deletedAt', { type: DataTypes.DATE });
    }
  },

  async down(queryInterface) {
    if (queryInterface.sequelize.getDialect() === 'postgres') {
      throw new Error('the tables on PostgreSQL belong to the profile');
    }
    await queryInterface.sequelize.query('ALTER TABLE users DROP COLUMN "deletedAt"');
  },
};
