// 100 users for 30 s, 95 % reads, 5 % stock changes (WRITES); each reads its own writes back.

import { sleep } from 'k6';
import * as api from './lib-api.js';
import { constantUsers, usersOptions } from './lib-options.js';
import { countSetting, PRODUCTS } from './lib-settings.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

const WRITES = countSetting('WRITES', 5, 0); // percent of the requests
if (WRITES > 50) throw new Error('WRITES is above 50, but each write is read back');

export const options = usersOptions('mixed', {
  vus: 100, duration: '30s', p95_ms: 500, shape: constantUsers,
  routes: [api.STOCK, api.PRODUCT, api.STOCKS, api.LIST]
    .concat(WRITES > 0 ? [api.UPDATE_STOCK, api.OWN_WRITE] : []),
});

// The share of each step. A write is two requests, because it is read back, so its share of the
// steps is larger than that of the requests.
const WRITE_STEPS = WRITES / (100 - WRITES);
const READ_STEPS = 1 - WRITE_STEPS;
const STEPS = [
  { share: WRITE_STEPS, run: writeAndReadBack },
  { share: 0.63 * READ_STEPS, run: () => api.readStock(api.randomProduct()) },
  { share: 0.16 * READ_STEPS, run: () => api.readProduct(api.randomProduct()) },
  { share: 0.11 * READ_STEPS, run: () => api.readStocks(randomProducts(20)) },
  { share: 0.10 * READ_STEPS, run: () => api.listProducts(api.randomInt(1, 10), 20) },
];

export default function () {
  let dice = Math.random();
  const step = STEPS.find(({ share }) => (dice -= share) < 0) || STEPS[1];
  step.run();
  sleep(0.05);
}

// the product that this user has given one unit, and takes it from with its next write
let lent = null;

// Adds one unit, and the next time takes it away again: no user ever takes what is not there.
function writeAndReadBack() {
  const id = lent || api.randomProduct();
  const written = api.changeStock(id, lent ? -1 : 1);
  if (written === null) return;
  lent = lent ? null : id;
  api.readOwnWrite(written);
}

function randomProducts(n) {
  const ids = new Set();
  while (ids.size < Math.min(n, PRODUCTS)) ids.add(api.randomProduct());
  return [...ids];
}
