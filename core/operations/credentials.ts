import { createHmac } from 'node:crypto';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { CredentialInfo } from '../catalogue/credentials.ts';

/** Gives installed agents their credentials. */
export interface CredentialIssuer {
  /**
   * The credential an operation installs: the same one each time it is asked for, so that a step may run again;
   * never stored in clear, but derived from the state directory's key.
   */
  issue(info: CredentialInfo): Promise<string>;
}

export function credentialIssuer(catalogue: Catalogue, key: Uint8Array): CredentialIssuer {
  return {
    async issue(info) {
      const mac = createHmac('sha256', key);
      mac.update(`agent-credential\0${info.server}\0${info.generation}\0${info.operation}`);
      const secret = `ova_${mac.digest('base64url')}`;
      await catalogue.credentials.add(secret, info);
      return secret;
    },
  };
}
