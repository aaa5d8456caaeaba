/** The half that runs on machines. */

import { defineAgentHalf } from '@overdub/core/agent';
import { zstdCodec } from './codec.ts';
import { knowsDictionaries } from './settings.ts';

export default defineAgentHalf({ name: 'diff-zstd', codecs: knowsDictionaries() ? [zstdCodec()] : [] });
