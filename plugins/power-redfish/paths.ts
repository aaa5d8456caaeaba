/** A path on the same service, as an answer names it: it leads nowhere else. Throws for everything else. */
export function ownPath(text: string): string {
  if (/^\/redfish\/v1\/[^\s?#\\]*$/.test(text) && !text.split('/').includes('..')) return text;
  throw new Error(`it names ${JSON.stringify(text.slice(0, 100))}, which is no path of a Redfish service`);
}
