// 200 users for 30 s turn over the first ten pages of the catalogue, ten products a page.

import { sleep } from 'k6';
import { LIST, listProducts, randomInt } from './lib-api.js';
import { constantUsers, usersOptions } from './lib-options.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

export const options = usersOptions('list', {
  vus: 200, duration: '30s', p95_ms: 500, routes: [LIST], shape: constantUsers,
});

export default function () {
  listProducts(randomInt(1, 10), 10);
  sleep(0.05);
}
