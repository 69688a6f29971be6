// 500 users want one product, 12,000 times in all; there are 10,000 units of it (UNITS).

import { Counter } from 'k6/metrics';
import * as api from './lib-api.js';
import { usersOptions } from './lib-options.js';
import { countSetting } from './lib-settings.js';

export { handleSummary } from './lib-summary.js';

const UNITS = countSetting('UNITS', 10000);
const ATTEMPTS = Math.ceil(UNITS * 1.2);
const sold = new Counter('units_sold');
const refused = new Counter('orders_refused');

export const options = usersOptions('flash-sale', {
  vus: 500, duration: '2m', p95_ms: 1000, routes: [api.ORDER],
  shape: (vus, duration_s) => ({
    executor: 'shared-iterations',
    vus: Math.min(vus, ATTEMPTS),
    iterations: ATTEMPTS,
    maxDuration: `${duration_s}s`,
  }),
});
options.thresholds.units_sold = [`count==${UNITS}`];
options.thresholds.orders_refused = [`count==${ATTEMPTS - UNITS}`];

export function setup() {
  return { id: api.createProducts(1, UNITS)[0] };
}

export default function ({ id }) {
  const answer = api.order([{ productId: id, qty: 1 }]);
  if (answer?.refused) refused.add(1);
  else if (answer !== null) sold.add(1);
}

export function teardown({ id }) {
  const ledger = api.ledgerOf(id);
  api.expectAtTheEnd('units sold by the ledger', ledger.units.order, UNITS);
  api.expectAtTheEnd('orders of the ledger', ledger.counts.order, UNITS);
  api.expectAtTheEnd('stock by the ledger', ledger.stock, 0);
  api.expectAtTheEnd('stock', api.productNow(id)?.stock, 0);
  api.deleteProducts([id]);
}
