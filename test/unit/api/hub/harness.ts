import { onTestFinished } from 'vitest';
import { startHubApi } from '../../../../src/api/hub/server.ts';
import { type HubFixture, startHub } from '../../../support/hub-fixture.ts';

export interface HubHarness extends HubFixture {
  readonly url: string;
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

/** The API of a hub upon a store in memory; it is closed with the test. */
export async function startHubHarness(parts: Parameters<typeof startHub>[0] = {}): Promise<HubHarness> {
  const fixture = await startHub(parts);
  const { hub, log } = fixture;
  const api = await startHubApi({
    hub,
    host: '127.0.0.1',
    port: 0,
    log,
    version: '1.2.3',
    limits: { closeGraceMs: 50 },
  });
  onTestFinished(() => api.close());
  const url = `http://127.0.0.1:${api.port}`;
  return { ...fixture, url, fetch: (path, init) => fetch(`${url}${path}`, init) };
}
