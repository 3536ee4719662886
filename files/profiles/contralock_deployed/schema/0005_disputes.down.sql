DROP TABLE arbitrators;
DROP TABLE disputes;
