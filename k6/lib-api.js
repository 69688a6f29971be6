// The requests of FastStock's API. Each is tagged with its route (a template, never a raw path),
// and each answer is held against the API: status, shape, and that it is about what was asked for.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { PRODUCTS, READ_URL, WRITE_TOKEN, WRITE_URL } from './lib-settings.js';

export const LIST = 'GET /api/products';
export const PRODUCT = 'GET /api/products/{id}';
export const STOCK = 'GET /api/products/{id}/stock';
export const STOCKS = 'GET /api/stock';
export const UPDATE_STOCK = 'POST /api/products/{id}/update-stock';
export const MOVEMENTS = 'GET /api/products/{id}/movements';
export const CREATE = 'POST /api/catalog/products';
export const DELETE = 'DELETE /api/catalog/products/{id}';
export const ORDER = 'POST /api/orders';
export const READ_ORDER = 'GET /api/orders/{id}';
export const RESERVE = 'POST /api/reservations';
export const CONFIRM = 'POST /api/reservations/{id}/confirm';
export const RELEASE = 'POST /api/reservations/{id}/release';
export const OWN_WRITE = 'GET /api/products/{id}/stock (own write)';

http.setResponseCallback(http.expectedStatuses(200));

export function randomInt(first, last) {
  return first + Math.floor(Math.random() * (last - first + 1));
}

export function randomProduct() {
  return randomInt(1, PRODUCTS);
}

// Ends the run at once, with one clear line, when there is nothing to measure.
export function setup() {
  const res = http.get(`${READ_URL}/api/products?page=1&limit=1`, params('setup'));
  if (res.status !== 200) {
    const problem = res.error || `status ${res.status}, ${excerpt(res)}`;
    exec.test.abort(`${READ_URL} does not serve products: ${problem}`);
  }
  const total = parsed(res)?.meta?.total;
  if (!(total >= PRODUCTS)) {
    const remedy = 'seed more, or set PRODUCTS';
    exec.test.abort(`${READ_URL} has ${total} products, PRODUCTS is ${PRODUCTS}: ${remedy}`);
  }
}

export function listProducts(page, limit) {
  const res = http.get(`${READ_URL}/api/products?page=${page}&limit=${limit}`, params(LIST));
  verify(LIST, res, ({ data, meta }) => {
    if (meta.page !== page || meta.limit !== limit) {
      return `meta is not of page ${page}, limit ${limit}`;
    }
    if (meta.totalPages !== Math.ceil(meta.total / limit)) {
      return 'meta.totalPages does not fit meta.total';
    }
    const expected = Math.max(0, Math.min(limit, meta.total - (page - 1) * limit));
    if (data.length !== expected) return `${data.length} products`;
    if (!data.every(isProduct)) return 'a product of another shape';
    if (data.some((product, i) => i > 0 && product.id <= data[i - 1].id)) return 'not by id';
    return '';
  });
}

export function readProduct(id) {
  const res = http.get(`${READ_URL}/api/products/${id}`, params(PRODUCT));
  verify(PRODUCT, res, (product) => {
    if (product.id !== id) return 'another product';
    if (!isProduct(product)) return 'a product of another shape';
    return etagProblem(res, product);
  });
}

export function readStock(id) {
  const res = http.get(`${READ_URL}/api/products/${id}/stock`, params(STOCK));
  verify(STOCK, res, (state) => {
    if (state.id !== id) return 'another product';
    if (!isState(state)) return 'another shape';
    return etagProblem(res, state);
  });
}

export function readStocks(ids) {
  const res = http.get(`${READ_URL}/api/stock?ids=${ids.join(',')}`, params(STOCKS));
  verify(STOCKS, res, ({ data, missing }) => {
    if (missing.length > 0) return 'products are missing';
    if (!data.every(isState)) return 'another shape';
    const found = data.map((state) => state.id).sort((a, b) => a - b);
    const wanted = [...ids].sort((a, b) => a - b);
    return found.join() === wanted.join() ? '' : 'other products than asked for';
  });
}

// Returns the answered state, { id, stock, version, delta }, or null when the change was not
// accepted.
export function changeStock(id, delta) {
  const url = `${WRITE_URL}/api/products/${id}/update-stock`;
  const res = http.post(url, JSON.stringify({ delta }), writeParams(UPDATE_STOCK));
  const ok = verify(UPDATE_STOCK, res, (state) => {
    if (state.id !== id) return 'another product';
    if (!isState(state) || state.delta !== delta) return 'another shape or delta';
    return etagProblem(res, state);
  });
  return ok ? parsed(res) : null;
}

// Reads what the given answer of changeStock() has written: never an older version.
export function readOwnWrite(written) {
  const res = http.get(`${READ_URL}/api/products/${written.id}/stock`, {
    ...params(OWN_WRITE),
    headers: { 'Min-Version': String(written.version) },
  });
  verify(OWN_WRITE, res, (state) => {
    if (state.id !== written.id) return 'another product';
    if (!(state.version >= written.version)) {
      return `version ${state.version} after writing ${written.version}`;
    }
    if (state.version === written.version && state.stock !== written.stock) {
      return `not the stock ${written.stock} that was written`;
    }
    return etagProblem(res, state);
  });
}

// -- products of the run's own

// Makes `count` products with that stock, all of them or none; returns their ids.
export function createProducts(count, stock) {
  const one = (i) => ({
    method: 'POST',
    url: `${WRITE_URL}/api/catalog/products`,
    body: JSON.stringify({ name: `load test ${i}`, price: 10 + (i % 90) / 100, stock }),
    params: { ...writeParams(CREATE), responseCallback: http.expectedStatuses(201) },
  });
  const ids = [];
  for (let made = 0; made < count; made += 50) {
    const requests = [];
    for (let i = made; i < Math.min(count, made + 50); i++) requests.push(one(i));
    for (const res of http.batch(requests)) {
      if (verify(CREATE, res, isProductProblem, 201)) ids.push(parsed(res).id);
    }
  }
  if (ids.length < count) {
    deleteProducts(ids);
    exec.test.abort(`only ${ids.length} of ${count} products could be made at ${WRITE_URL}`);
  }
  return ids;
}

function isProductProblem(product) {
  return isProduct(product) ? '' : 'a product of another shape';
}

export function deleteProducts(ids) {
  const requests = ids.map((id) => ({
    method: 'DELETE',
    url: `${WRITE_URL}/api/catalog/products/${id}`,
    params: { ...writeParams(DELETE), responseCallback: http.expectedStatuses(204) },
  }));
  for (const res of http.batch(requests)) {
    check(res, { 'product is deleted': ({ status }) => status === 204 }, { name: DELETE });
  }
}

// The product as it is published; null when it cannot be read.
export function productNow(id) {
  const res = http.get(`${READ_URL}/api/products/${id}`, {
    ...params(PRODUCT),
    headers: { 'Cache-Control': 'no-cache' },
  });
  const isRight = verify(PRODUCT, res, (product) => (product.id === id ? '' : 'another product'));
  return isRight ? parsed(res) : null;
}

// The whole ledger of a product: checked to be without a gap and to add up, and summed up as
// { stock, reserved, version, counts, units }: movements and units that each kind moved.
export function ledgerOf(id) {
  const ledger = { stock: 0, reserved: 0, version: 0, counts: {}, units: {} };
  let next = 0;
  while (next !== null) {
    const url = `${READ_URL}/api/products/${id}/movements?after=${next}&limit=1000`;
    const res = http.get(url, params(MOVEMENTS));
    if (!verify(MOVEMENTS, res, ({ data }) => addMovements(ledger, data))) return ledger;
    next = parsed(res).meta.next;
  }
  return ledger;
}

function addMovements(ledger, movements) {
  for (const { version, kind, delta, stockAfter, reservedDelta = 0 } of movements) {
    if (version !== ledger.version + 1) return `version ${version} after ${ledger.version}`;
    if (stockAfter !== ledger.stock + delta) return `stock ${stockAfter}, not the sum of deltas`;
    if (stockAfter < 0) return `stock ${stockAfter}`;
    ledger.version = version;
    ledger.stock = stockAfter;
    ledger.reserved += reservedDelta;
    ledger.counts[kind] = (ledger.counts[kind] || 0) + 1;
    ledger.units[kind] = (ledger.units[kind] || 0) + Math.abs(delta || reservedDelta);
  }
  return '';
}

// -- orders and reservations. Each request has a key of its own, so it is sent again under the same
// key when the connection breaks or a server is away, as often as TRIES_MAX: the order is made
// once. Such an attempt counts as failed all the same.

const TRIES_MAX = 3;

function postOnce(route, path, body, statuses) {
  const wanted = {
    ...writeParams(route),
    responseCallback: http.expectedStatuses(...statuses),
  };
  wanted.headers['Idempotency-Key'] = `k6-${randomInt(0, 2 ** 31)}-${randomInt(0, 2 ** 31)}`;
  let res;
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    res = http.post(`${WRITE_URL}${path}`, body === null ? null : JSON.stringify(body), wanted);
    if (res.status !== 0 && res.status !== 503) break;
    sleep(0.1 * tries);
  }
  return res;
}

const NO_STOCK = { refused: 'insufficient-stock' };

// The answer of a write that may be refused for lack of stock: its body; NO_STOCK; null when it is
// wrong.
function madeOrRefused(route, res, problemOf) {
  if (res.status !== 409) return verify(route, res, problemOf, 201) ? parsed(res) : null;
  const isRight = verify(
    route, res, ({ type }) => (type.endsWith('/insufficient-stock') ? '' : type), 409,
  );
  return isRight ? NO_STOCK : null;
}

// Orders `items`, [{ productId, qty }]: returns the order, NO_STOCK (`refused` is set), or null.
export function order(items) {
  const res = postOnce(ORDER, '/api/orders', { items }, [201, 409]);
  return madeOrRefused(ORDER, res, (made) => orderProblem(made, items)
    || (res.headers.Location === `/api/orders/${made.id}` ? '' : 'another Location'));
}

function orderProblem(made, items) {
  if (!Number.isInteger(made.id) || made.status !== 'CREATED') return 'another shape or status';
  if (!sameItems(made.items, items)) return 'other items';
  const cents = made.items.reduce((sum, { qty, price }) => sum + qty * Math.round(price * 100), 0);
  return Math.round(made.total * 100) === cents ? '' : `total ${made.total}`;
}

function sameItems(found, wanted) {
  const asText = (items) => items.map(({ productId, qty }) => `${productId} ${qty}`).sort().join();
  return asText(found) === asText(wanted);
}

// Reads an order that order() has returned.
export function readOrder(made) {
  const res = http.get(`${READ_URL}/api/orders/${made.id}`, params(READ_ORDER));
  verify(READ_ORDER, res, (found) => (found.id === made.id ? orderProblem(found, made.items)
    : 'another order'));
}

// Returns the reservation, NO_STOCK or null.
export function reserve(items, ttlSeconds) {
  const res = postOnce(RESERVE, '/api/reservations', { items, ttlSeconds }, [201, 409]);
  return madeOrRefused(RESERVE, res, (made) => {
    if (!Number.isInteger(made.id) || made.status !== 'HELD') return 'another shape or status';
    return sameItems(made.items, items) ? '' : 'other items';
  });
}

// Makes the order of a reservation; returns it, or null.
export function confirm(held) {
  const res = postOnce(CONFIRM, `/api/reservations/${held.id}/confirm`, null, [201]);
  const isRight = verify(CONFIRM, res, (made) => orderProblem(made, held.items)
    || (made.reservationId === held.id ? '' : 'of another reservation'), 201);
  return isRight ? parsed(res) : null;
}

export function release(held) {
  const res = postOnce(RELEASE, `/api/reservations/${held.id}/release`, null, [200]);
  return verify(RELEASE, res, ({ id, status }) => {
    return id === held.id && status === 'RELEASED' ? '' : 'another reservation or status';
  });
}

// One of the facts that a run ends with; it counts as a wrong answer when it does not hold.
export function expectAtTheEnd(what, found, wanted) {
  const isRight = check(found, { [what]: () => found === wanted });
  if (!isRight) console.error(`${what}: ${found}, expected ${wanted}`);
}

const paramsByRoute = {}; // made once each: this is the hot path of the generator

function params(route) {
  paramsByRoute[route] ||= { tags: { name: route }, timeout: '5s', redirects: 0 };
  return paramsByRoute[route];
}

function writeParams(route) {
  const headers = { 'Content-Type': 'application/json' };
  if (WRITE_TOKEN) headers.Authorization = `Bearer ${WRITE_TOKEN}`;
  return { ...params(route), headers };
}

function isState(state) {
  const { id, stock, version } = state;
  return Number.isInteger(id) && Number.isInteger(stock) && stock >= 0 && version >= 1;
}

function isProduct(product) {
  return isState(product) && typeof product.name === 'string' && typeof product.price === 'number'
    && product.createdAt.endsWith('Z') && product.updatedAt.endsWith('Z');
}

function etagProblem(res, state) {
  const etag = res.headers.Etag;
  return etag === `"${state.version}"` ? '' : `ETag ${etag} with version ${state.version}`;
}

let complained = false;

// Counts the answer as right or wrong. `problemOf` gets the parsed body and returns what is wrong
// with it, or ''. The first wrong answer that a virtual user sees goes to the console.
function verify(route, res, problemOf, status = 200) {
  const problem = problemWith(res, problemOf, status);
  check(problem, { 'answer is right': (found) => found === '' }, { name: route });
  if (problem !== '' && !complained) {
    complained = true;
    console.error(`${route}: ${problem}: ${res.url}: ${excerpt(res)}`);
  }
  return problem === '';
}

function problemWith(res, problemOf, status) {
  if (!res.status) return res.error;
  if (res.status !== status) return `status ${res.status}`;
  const body = parsed(res);
  if (body === null || typeof body !== 'object') return 'no JSON object';
  try {
    return problemOf(body);
  } catch (error) {
    return `another shape (${error.message})`;
  }
}

function parsed(res) {
  try {
    return JSON.parse(res.body);
  } catch {
    return null;
  }
}

function excerpt(res) {
  return res.body ? res.body.slice(0, 300) : 'no body';
}
