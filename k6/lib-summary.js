// What a run ends with: a summary for people on stdout. With OUT_DIR set, that folder gets
// the same as summary.txt, and as summary.json for programs.

import exec from 'k6/execution';
import { PERCENTILES } from './lib-options.js';
import { usedSettings } from './lib-settings.js';

const OUT_DIR = __ENV.OUT_DIR || '';

export function handleSummary(data) {
  const summary = summarise(data);
  const text = asText(summary);
  if (!OUT_DIR) return { stdout: text };
  return {
    stdout: text,
    [`${OUT_DIR}/summary.txt`]: text,
    [`${OUT_DIR}/summary.json`]: JSON.stringify(summary, null, 2),
  };
}

// Times in the summary are milliseconds, rates are per second.
function summarise(data) {
  const routes = Object.keys(data.metrics)
    .map((name) => /^http_reqs\{name:(.*)\}$/.exec(name)?.[1])
    .filter(Boolean)
    .sort();
  return {
    scenario: Object.keys(exec.test.options.scenarios)[0],
    settings: usedSettings(),
    duration_s: data.state.testRunDurationMs / 1000,
    vus_max: data.metrics.vus_max?.values.max ?? 0,
    passed: thresholds(data).every(({ ok }) => ok),
    endpoints: Object.fromEntries(
      routes.map((route) => [route, endpoint(data, `{name:${route}}`)]),
    ),
    all: endpoint(data, ''),
    dropped_arrivals: data.metrics.dropped_iterations?.values.count ?? 0,
    thresholds: thresholds(data),
  };
}

function endpoint(data, tags) {
  const values = (metric) => data.metrics[metric + tags]?.values ?? {};
  const requests = values('http_reqs').count ?? 0;
  const time = requests > 0 ? values('http_req_duration') : {};
  return {
    requests,
    rps: values('http_reqs').rate ?? 0,
    avg_ms: time.avg, p50_ms: time.med, p90_ms: time['p(90)'], p95_ms: time['p(95)'],
    p99_ms: time['p(99)'], max_ms: time.max,
    // the "passes" of a rate are the samples that were true
    failed: values('http_req_failed').passes ?? 0,
    wrong_answers: values('checks').fails ?? 0,
    // [percentile, ms] where they are asked for
    ...(PERCENTILES.length > 0 && requests > 0
      ? { percentiles_ms: PERCENTILES.map((p) => [p, time[`p(${p})`]]) } : {}),
  };
}

function thresholds(data) {
  const rows = ([metric, { thresholds: rules = {}, values }]) =>
    Object.entries(rules).map(([rule, { ok }]) => {
      return { metric, rule, ok, value: measured(values, rule) };
    });
  return Object.entries(data.metrics).sort().flatMap(rows);
}

// The value that a rule such as `p(95)<200` looks at.
function measured(values, rule) {
  return values[/^[a-z]+(\([\d.]+\))?/.exec(rule)[0]];
}

function asText(summary) {
  const { scenario, duration_s, vus_max } = summary;
  return [
    '',
    `${scenario}: ${duration_s.toFixed(1)} s, up to ${vus_max} users at once`,
    Object.entries(summary.settings).map(([name, value]) => `${name}=${value}`).join(' '),
    '',
    ...table(summary),
    '',
    `dropped arrivals: ${summary.dropped_arrivals}`,
    ...verdict(summary.thresholds),
    '',
  ].join('\n');
}

function table({ endpoints, all }) {
  const rows = [[
    'latency in ms', 'requests', 'RPS', 'p50', 'p90', 'p95', 'p99', 'max', 'failed', 'wrong',
  ]];
  for (const [route, e] of [...Object.entries(endpoints), ['all', all]]) {
    rows.push([
      route, String(e.requests), fixed(e.rps, 1),
      fixed(e.p50_ms), fixed(e.p90_ms), fixed(e.p95_ms), fixed(e.p99_ms), fixed(e.max_ms),
      String(e.failed), String(e.wrong_answers),
    ]);
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const padded = (cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  return rows.map((row) => row.map(padded).join('  '));
}

function fixed(value, digits = 2) {
  return value === undefined ? '-' : value.toFixed(digits);
}

function verdict(rules) {
  const failed = rules.filter(({ ok }) => !ok);
  const describe = ({ metric, rule, value }) => `${metric}  ${rule}  (is ${fixed(value, 4)})`;
  return [
    `thresholds: ${rules.length - failed.length} ok, ${failed.length} failed`,
    ...failed.map((threshold) => `  FAILED  ${describe(threshold)}`),
  ];
}
