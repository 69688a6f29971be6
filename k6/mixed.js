// 100 users for 30 s, 95 % reads, 5 % stock changes; each user reads its own writes back.

import { sleep } from 'k6';
import * as api from './lib-api.js';
import { constantUsers, usersOptions } from './lib-options.js';
import { PRODUCTS } from './lib-settings.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

export const options = usersOptions('mixed', {
  vus: 100, duration: '30s', p95_ms: 500, shape: constantUsers,
  routes: [api.STOCK, api.PRODUCT, api.STOCKS, api.LIST, api.UPDATE_STOCK, api.OWN_WRITE],
});

// The share of each step. A write counts twice among the requests: it is read back, which is one of
// the reads.
const STEPS = [
  { share: 0.60, run: () => api.readStock(api.randomProduct()) },
  { share: 0.15, run: () => api.readProduct(api.randomProduct()) },
  { share: 0.10, run: () => api.readStocks(randomProducts(20)) },
  { share: 0.0974, run: () => api.listProducts(api.randomInt(1, 10), 20) },
  { share: 0.0526, run: writeAndReadBack },
];

export default function () {
  let dice = Math.random();
  const step = STEPS.find(({ share }) => (dice -= share) < 0) || STEPS[0];
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
