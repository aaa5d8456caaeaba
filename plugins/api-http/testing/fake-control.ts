/** An ApplianceControl of a test's own: what it answers is given, what is asked is remembered. */

import { type ApplianceControl, OverdubError, type Role } from '@overdub/core';

export interface FakeControl {
  readonly control: ApplianceControl;
  readonly calls: readonly { readonly method: string; readonly args: readonly unknown[] }[];
}

/** Secrets are `viewer-secret`, `operator-secret`, `admin-secret`, and `web-1-secret` (operator of web-1 only). */
export function fakeControl(answers: Partial<ApplianceControl>): FakeControl {
  const calls: { method: string; args: readonly unknown[] }[] = [];
  const known: Partial<ApplianceControl> = { authenticate, ...answers };
  const control = new Proxy(known, {
    get(target, method: string) {
      const answer = target[method as keyof ApplianceControl] as
        | ((...args: unknown[]) => unknown)
        | undefined;
      return (...args: unknown[]) => {
        if (method !== 'authenticate') calls.push({ method, args });
        if (answer === undefined) return Promise.reject(notFaked(method));
        return answer(...args);
      };
    },
  });
  return { control: control as ApplianceControl, calls };
}

async function authenticate(secret: string) {
  const name = /^(viewer|operator|admin|web-1)-secret$/.exec(secret)?.[1];
  if (name === undefined) return undefined;
  const limited = name === 'web-1';
  return {
    id: `id-of-${name}`,
    name: `${name}-token`,
    role: (limited ? 'operator' : name) as Role,
    createdAt: '2026-11-22T12:00:00Z',
    ...(limited ? { server: 'web-1' } : {}),
  };
}

function notFaked(method: string): OverdubError {
  return new OverdubError('INTERNAL', `the test does not expect ${method}`, '');
}
