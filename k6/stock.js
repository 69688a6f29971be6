// 300 users for 30 s ask for the stock of random products.

import { sleep } from 'k6';
import { STOCK, randomProduct, readStock } from './lib-api.js';
import { constantUsers, usersOptions } from './lib-options.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

export const options = usersOptions('stock', {
  vus: 300, duration: '30s', p95_ms: 500, routes: [STOCK], shape: constantUsers,
});

export default function () {
  readStock(randomProduct());
  sleep(0.05);
}
