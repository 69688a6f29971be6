// To 100 users in 30 s, to 300 in the next minute, to none in 30 s; all read the first page.

import { sleep } from 'k6';
import { LIST, listProducts } from './lib-api.js';
import { growingUsers, usersOptions } from './lib-options.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

export const options = usersOptions('high-traffic', {
  vus: 300, duration: '2m', p95_ms: 500, routes: [LIST], shape: growingUsers,
});

export default function () {
  listProducts(1, 20);
  sleep(0.2);
}
