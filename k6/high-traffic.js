// To 100 users in 30 s, to 300 in the next minute, to none in 30 s; all read the first page.

import { sleep } from 'k6';
import { LIST, listProducts } from './lib-api.js';
import { usersOptions } from './lib-options.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

export const options = usersOptions('high-traffic', {
  vus: 300, duration: '2m', p95_ms: 500, routes: [LIST], shape: growingUsers,
});

function growingUsers(vus, duration_s) {
  return {
    executor: 'ramping-vus',
    startVUs: 0,
    stages: [
      { duration: `${duration_s / 4}s`, target: Math.ceil(vus / 3) },
      { duration: `${duration_s / 2}s`, target: vus },
      { duration: `${duration_s / 4}s`, target: 0 },
    ],
  };
}

export default function () {
  listProducts(1, 20);
  sleep(0.2);
}
