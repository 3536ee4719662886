CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('ae1027a6acf');
CREATE TABLE customer (
	id CHAR(32) NOT NULL,
	name VARCHAR(50) NOT NULL,
	status VARCHAR(8) NOT NULL,
	active BOOLEAN NOT NULL,
	credit NUMERIC(10, 2),
	rating FLOAT,
	extra JSON,
	photo BLOB,
	born DATE,
	calls TIME,
	created DATETIME NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name),
	CHECK (active IN (0, 1)),
	CONSTRAINT status_known CHECK (status IN ('new', 'known', 'lost'))
);
CREATE TABLE purchase (
	order_no INTEGER NOT NULL,
	line_no INTEGER NOT NULL,
	customer_id CHAR(32),
	quantity SMALLINT CHECK (quantity BETWEEN 1 AND 99),
	PRIMARY KEY (order_no, line_no),
	FOREIGN KEY(customer_id) REFERENCES customer (id)
);
