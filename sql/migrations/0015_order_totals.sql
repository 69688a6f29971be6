-- The total of the largest order that there can be: 100 items of 2^53 - 1 units, each at
-- 9999999999.99, are 9 * 10^27. An order beyond 10^18 failed, and was told that its text cannot be
-- stored. More digits need no rewrite of the table.

SET LOCAL lock_timeout = '2s';

ALTER TABLE orders ALTER COLUMN total TYPE numeric(30,2);
