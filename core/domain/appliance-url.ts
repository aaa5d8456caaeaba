import { OverdubError } from '../errors.ts';

/** An appliance's address as people write it, without slashes at its end; INPUT_INVALID when it is none. */
export function applianceUrl(text: string): string {
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') return text.replace(/\/+$/, '');
  throw new OverdubError(
    'INPUT_INVALID',
    `${JSON.stringify(text)} is not an address of an appliance.`,
    'Write it like http://10.0.0.1:7077.',
  );
}
