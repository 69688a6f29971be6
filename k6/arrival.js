// RATE stock reads a second (default 1000) for DURATION (30 s), whether or not the answers keep up.

import { STOCK, randomProduct, readStock } from './lib-api.js';
import { arrivalsOptions } from './lib-options.js';
import { countSetting, durationSetting, refuseSettings } from './lib-settings.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

const rate = countSetting('RATE', 1000);
refuseSettings(['STAGES', 'PROFILE'], 'arrival has one constant RATE; ramp has stages');

export const options = arrivalsOptions('arrival', {
  peak: rate, p95_ms: 200, routes: [STOCK],
  executor: {
    executor: 'constant-arrival-rate',
    rate,
    duration: `${durationSetting('DURATION', '30s')}s`,
  },
});

export default function () {
  readStock(randomProduct());
}
