DROP TABLE milestones;
DROP TABLE projects;
