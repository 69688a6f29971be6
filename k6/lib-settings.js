// Settings of a run. Each comes from an environment variable or has a default; an empty variable
// counts as not set. Every setting that was asked for is kept, so that the summary can tell what
// was run.

const settings = {};

function setting(name, fallback, isValid, expected) {
  const value = __ENV[name] || String(fallback);
  if (!isValid(value)) throw new Error(`${name} is "${value}", expected ${expected}`);
  settings[name] = value;
  return value;
}

export function textSetting(name, fallback) {
  return setting(name, fallback, () => true);
}

export function choiceSetting(name, fallback, choices) {
  const expected = `one of ${choices.join(', ')}`;
  return setting(name, fallback, (value) => choices.includes(value), expected);
}

export function countSetting(name, fallback, least = 1) {
  const isValid = (value) => /^\d+$/.test(value) && Number(value) >= least;
  return Number(setting(name, fallback, isValid, `a whole number from ${least}`));
}

// In seconds, of a text such as 45s, 1m30s, 2h.
export function durationSetting(name, fallback) {
  const isDuration = (value) => toSeconds(value) > 0;
  return toSeconds(setting(name, fallback, isDuration, 'a duration such as 45s or 1m30s'));
}

// NaN when the text is no duration.
export function toSeconds(text) {
  const parts = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (!text || !parts) return NaN;
  return Number(parts[1] || 0) * 3600 + Number(parts[2] || 0) * 60 + Number(parts[3] || 0);
}

// A variable that this scenario cannot follow is an error, not silently without effect.
export function refuseSettings(names, reason) {
  for (const name of names) if (__ENV[name]) throw new Error(`${name} is set, but ${reason}`);
}

export function usedSettings() {
  return { ...settings };
}

// Both from BASE_URL, the address of the edge or ingress, unless the services are asked directly.
export const READ_URL = urlSetting('READ_URL');
export const WRITE_URL = urlSetting('WRITE_URL');
export const PRODUCTS = countSetting('PRODUCTS', 1000);

function urlSetting(name) {
  const url = __ENV[name] ? textSetting(name) : textSetting('BASE_URL', 'http://127.0.0.1:18080');
  return url.replace(/\/+$/, '');
}

// Not kept among the settings: it is a secret.
export const WRITE_TOKEN = __ENV.WRITE_TOKEN || '';
