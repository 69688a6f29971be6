// 200 users for 1 min: they reserve, then confirm 70 %, release 20 %, and let 10 % expire.

import { sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import * as api from './lib-api.js';
import { constantUsers, usersOptions } from './lib-options.js';
import { countSetting, PRODUCTS } from './lib-settings.js';

export { handleSummary } from './lib-summary.js';

const TTL_S = countSetting('TTL_S', 10);
const EXPIRY_MS = countSetting('EXPIRY_MS', 1000);
const STOCK = 1000;

export const options = usersOptions('carts', {
  vus: 200, duration: '1m', p95_ms: 500, routes: [api.RESERVE, api.CONFIRM, api.RELEASE],
  shape: constantUsers,
});
options.thresholds.expiry_late_ms = [`max<=${EXPIRY_MS}`];

const counts = {
  confirmed: new Counter('carts_confirmed'),
  released: new Counter('carts_released'),
  left: new Counter('carts_left'),
  refused: new Counter('carts_refused'),
};
const lateness = new Trend('expiry_late_ms');

export function setup() {
  return { ids: api.createProducts(Math.min(PRODUCTS, 100), STOCK) };
}

// A cart of one or two products; the user thinks for up to two seconds.
export default function ({ ids }) {
  const items = new Map();
  for (let n = api.randomInt(1, 2); n > 0; n--) {
    items.set(ids[api.randomInt(0, ids.length - 1)], api.randomInt(1, 2));
  }
  const held = api.reserve([...items].map(([productId, qty]) => ({ productId, qty })), TTL_S);
  if (held !== null && held.refused) counts.refused.add(1);
  sleep(Math.random() * Math.min(2, TTL_S / 2));
  if (held !== null && !held.refused) end(held);
}

function end(held) {
  const dice = Math.random();
  if (dice < 0.7) {
    if (api.confirm(held) !== null) counts.confirmed.add(1);
  } else if (dice < 0.9) {
    if (api.release(held)) counts.released.add(1);
  } else {
    counts.left.add(1);
  }
}

// The cart that is made here expires last. When it is gone, nothing is reserved any more, and what
// was sold and what is left make the stock that there was.
export function teardown({ ids }) {
  awaitExpiry();
  for (const id of ids) {
    const ledger = api.ledgerOf(id);
    const product = api.productNow(id);
    api.expectAtTheEnd('reserved at the end', product?.reserved, 0);
    api.expectAtTheEnd('reserved by the ledger', ledger.reserved, 0);
    api.expectAtTheEnd('stock by the ledger', ledger.stock, product?.stock);
    api.expectAtTheEnd('stock and sold', ledger.stock + (ledger.units.confirm || 0), STOCK);
  }
  api.deleteProducts(ids);
}

// Waits until the units of a last cart are back, and notes how late that is seen.
function awaitExpiry() {
  const [id] = api.createProducts(1, 1);
  const held = api.reserve([{ productId: id, qty: 1 }], TTL_S);
  const due_ms = Date.parse(held.expiresAt);
  while (api.productNow(id)?.reserved !== 0 && Date.now() < due_ms + 10 * EXPIRY_MS) sleep(0.05);
  lateness.add(Math.max(0, Date.now() - due_ms));
  api.deleteProducts([id]);
}
