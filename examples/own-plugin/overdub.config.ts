/** Our own plugin beside the ones that come with Overdub. */

import api from '@overdub/api-http';
import { defineConfig } from '@overdub/core';
import rsync from '@overdub/diff-rsync';
import storage from '@overdub/storage-local';
import site from './plugin.ts';

export default defineConfig({
  state: './state',
  plugins: [storage(), rsync(), site(), api()],
});
