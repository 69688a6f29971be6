// k6 options of a scenario: how the load is made, and the thresholds that every run is held to.

import { countSetting, durationSetting, refuseSettings } from './lib-settings.js';

const TREND_STATS = ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'];

// The percentiles of the latencies that a pod which makes a part of the load hands on, because
// percentiles of parts cannot be averaged: with these (scripts/lib/merge_load.py) those of all
// requests follow.
export const PERCENTILES = __ENV.PERCENTILES ? percentiles() : [];

function percentiles() {
  const found = [];
  for (let tenth = 0; tenth < 999; tenth++) found.push(tenth / 10);
  for (let hundredth = 9990; hundredth <= 10000; hundredth++) found.push(hundredth / 100);
  return found;
}


// A scenario with a number of users, each of which waits between its requests.
export function usersOptions(name, { vus, duration, routes, p95_ms, shape }) {
  refuseSettings(['RATE', 'STAGES', 'PROFILE'], `${name} is driven by VUS and DURATION`);
  const executor = shape(countSetting('VUS', vus), durationSetting('DURATION', duration));
  return options(name, routes, p95_ms, executor);
}

// The shape of a load that stays as it is.
export function constantUsers(vus, duration_s) {
  return { executor: 'constant-vus', vus, duration: `${duration_s}s` };
}

// To a third of the users in a quarter of the time, to all in the half that follows, then to none.
export function growingUsers(vus, duration_s) {
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

// A scenario with a rate of arrivals that does not wait for answers. VUS bounds the requests in
// flight: half of the rate by default, which is enough while answers take less than 500 ms.
// Arrivals that find none free are dropped; more than DROPPED_MAX of them fail the run.
export function arrivalsOptions(name, { peak, routes, p95_ms, executor }) {
  const vus = countSetting('VUS', Math.max(20, Math.ceil(peak / 2)));
  const bounded = { ...executor, timeUnit: '1s', preAllocatedVUs: vus, maxVUs: vus };
  const made = options(name, routes, p95_ms, bounded);
  made.thresholds.dropped_iterations = [`count<=${countSetting('DROPPED_MAX', 0, 0)}`];
  return made;
}

function options(name, routes, p95_ms, scenario) {
  const read_p95_ms = countSetting('P95_MS', p95_ms);
  const thresholds = { http_req_failed: ['rate==0'], checks: ['rate==1'] };
  for (const route of routes) {
    const isWrite = route.startsWith('POST');
    const limit_ms = isWrite ? countSetting('P95_WRITE_MS', p95_ms) : read_p95_ms;
    thresholds[`http_req_duration{name:${route}}`] = [`p(95)<${limit_ms}`];
    thresholds[`http_req_failed{name:${route}}`] = ['rate==0'];
    thresholds[`http_reqs{name:${route}}`] = ['count>0'];
    thresholds[`checks{name:${route}}`] = ['rate==1'];
  }
  return {
    scenarios: { [name]: { ...scenario, gracefulStop: '10s' } },
    thresholds,
    setupTimeout: '2m',
    teardownTimeout: '5m',
    summaryTrendStats: [...new Set([...TREND_STATS, ...PERCENTILES.map((p) => `p(${p})`)])],
    userAgent: 'faststock-k6',
  };
}
