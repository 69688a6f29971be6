// Stock reads, or changes, at a changing rate: PROFILE step, ramp or spike to RATE, or STAGES.

import { STOCK, UPDATE_STOCK, changeStock, randomProduct, readStock } from './lib-api.js';
import { arrivalsOptions } from './lib-options.js';
import {
  choiceSetting, countSetting, durationSetting, refuseSettings, textSetting, toSeconds,
} from './lib-settings.js';

export { setup } from './lib-api.js';
export { handleSummary } from './lib-summary.js';

// Each stage is [share of the duration, rate at its end as a share of the peak]. A share of 0 is a
// jump. All begin and end with a tenth of the peak, so that there is something to compare with.
const PROFILES = {
  step: [[0.2, 0.1], [0, 1], [0.5, 1], [0, 0.1], [0.3, 0.1]],
  ramp: [[0.1, 0.1], [0.4, 1], [0.2, 1], [0.2, 0.1], [0.1, 0.1]],
  spike: [[0.3, 0.1], [0, 1], [0.1, 1], [0, 0.1], [0.6, 0.1]],
};

const WRITES = choiceSetting('REQUEST', 'read', ['read', 'write']) === 'write';

const stages = __ENV.STAGES ? givenStages() : profileStages();

export const options = arrivalsOptions('ramp', {
  peak: Math.max(...stages.map(({ target }) => target)), p95_ms: 200,
  routes: [WRITES ? UPDATE_STOCK : STOCK],
  executor: { executor: 'ramping-arrival-rate', startRate: stages[0].target, stages },
});

function profileStages() {
  const profile = PROFILES[choiceSetting('PROFILE', 'ramp', Object.keys(PROFILES))];
  const peak = countSetting('RATE', 1000);
  const duration_s = durationSetting('DURATION', '2m');
  return profile.map(([time, rate]) => ({
    duration: `${Math.round(time * duration_s * 1000)}ms`,
    target: Math.max(1, Math.round(rate * peak)),
  }));
}

// Of a text such as 30s:100,0s:1000,1m:1000: the rate moves to each target within its duration. It
// begins at the first.
function givenStages() {
  refuseSettings(['RATE', 'DURATION', 'PROFILE'], 'STAGES already says it all');
  return textSetting('STAGES', '').split(',').map((stage) => {
    const [duration, target] = stage.trim().split(':');
    if (!(toSeconds(duration) >= 0) || !/^\d+$/.test(target)) {
      throw new Error(`STAGES has "${stage}", expected DURATION:RATE such as 30s:100`);
    }
    return { duration, target: Number(target) };
  });
}

// the product that this user has given one unit, and takes it from with its next write
let lent = null;

export default function () {
  if (!WRITES) {
    readStock(randomProduct());
    return;
  }
  const id = lent || randomProduct();
  if (changeStock(id, lent ? -1 : 1) !== null) lent = lent ? null : id;
}
