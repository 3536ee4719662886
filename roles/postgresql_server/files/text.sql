-- How the cluster keeps text: encoding and collation of what new databases are made from.
SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'template0'
