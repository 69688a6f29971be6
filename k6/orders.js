// To 100 users in 30 s, to 300 in the next minute, to none in 30 s; all create orders.

import { sleep } from 'k6';
import { Counter } from 'k6/metrics';
import * as api from './lib-api.js';
import { growingUsers, usersOptions } from './lib-options.js';
import { PRODUCTS } from './lib-settings.js';

export { handleSummary } from './lib-summary.js';

export const options = usersOptions('orders', {
  vus: 300, duration: '2m', p95_ms: 500, routes: [api.ORDER, api.READ_ORDER], shape: growingUsers,
});

const STOCK = 1000000;
const made = new Counter('orders_made');
const units = new Counter('orders_units');

export function setup() {
  return { ids: api.createProducts(PRODUCTS, STOCK) };
}

// One to three products of an order, one to three units of each; each tenth order is read back.
export default function ({ ids }) {
  const items = new Map();
  for (let n = api.randomInt(1, 3); n > 0; n--) {
    items.set(ids[api.randomInt(0, ids.length - 1)], api.randomInt(1, 3));
  }
  const answer = api.order([...items].map(([productId, qty]) => ({ productId, qty })));
  if (answer !== null && !answer.refused) {
    made.add(1);
    units.add([...items.values()].reduce((sum, qty) => sum + qty, 0));
    if (Math.random() < 0.1) api.readOrder(answer);
  }
  sleep(0.2);
}

export function teardown({ ids }) {
  api.deleteProducts(ids);
}
