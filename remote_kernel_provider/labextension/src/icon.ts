/** The panel's icon: a kernel's chip, reached from afar. */

import { LabIcon } from '@jupyterlab/ui-components';

export const remoteKernelsIcon = new LabIcon({
  name: 'remote-kernels:kernels',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="24" viewBox="0 0 24 24">
  <g class="jp-icon3 jp-icon-selectable" fill="#616161">
    <path d="M3 4.5A1.5 1.5 0 0 1 4.5 3h15A1.5 1.5 0 0 1 21 4.5v4a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 8.5zM6 5.5v2h2v-2z" fill-rule="evenodd"/>
    <path d="M3 13.5A1.5 1.5 0 0 1 4.5 12h15a1.5 1.5 0 0 1 1.5 1.5v4a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5zm3 1v2h2v-2z" fill-rule="evenodd"/>
    <path d="M11 20h2v2h-2zM5 21h5v1H5zm9 0h5v1h-5z"/>
  </g>
</svg>`
});
