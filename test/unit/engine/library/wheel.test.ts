import assert from 'node:assert/strict';
import { test } from 'node:test';
import { companionWheels, orderCompanions } from '../../../../src/engine/library/companions.ts';
import { pickWheel } from '../../../../src/engine/library/source.ts';
import {
  fitsMachine,
  libraryWheel,
  parseWheelName,
  projectOf,
} from '../../../../src/engine/library/wheel.ts';

test('each machine gets the wheel published for it', () => {
  const wheelFor = (platform: NodeJS.Platform, arch: string, gpu = false) =>
    libraryWheel(gpu, { platform, arch });
  assert.deepEqual(wheelFor('linux', 'x64'), {
    requirement: 'tensorflow-cpu==2.21.0',
    platforms: ['manylinux_2_27_x86_64'],
  });
  assert.deepEqual(wheelFor('linux', 'x64', true).requirement, 'tensorflow==2.21.0');
  assert.deepEqual(wheelFor('linux', 'arm64').platforms, ['manylinux_2_27_aarch64']);
  assert.deepEqual(wheelFor('darwin', 'arm64').platforms, ['macosx_12_0_arm64']);
  for (const [platform, arch] of [
    ['win32', 'x64'],
    ['darwin', 'x64'],
    ['linux', 's390x'],
  ] as const) {
    assert.throws(() => wheelFor(platform, arch), { name: 'EngineError', code: 'E_NO_BUILD' });
  }
  assert.throws(() => wheelFor('darwin', 'arm64', true), { name: 'UsageError', code: 'E_NO_CUDA_BUILD' });
});

test('names of wheels are parsed by PEP 427', () => {
  assert.deepEqual(
    parseWheelName('Nvidia_cuDNN.cu12-9.1-1b-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl'),
    {
      project: 'nvidia_cudnn_cu12',
      version: '9.1',
      platforms: ['manylinux2014_x86_64', 'manylinux_2_17_x86_64'],
    },
  );
  assert.equal(parseWheelName('tensorflow-2.21.0.tar.gz'), undefined);
  assert.equal(parseWheelName('notes.whl'), undefined);
});

test('a wheel fits its operating system and processor only', () => {
  const fits = (tag: string, platform: NodeJS.Platform, arch: string) =>
    fitsMachine({ project: 'tensorflow', version: '2', platforms: [tag] }, { platform, arch });
  const machines = [
    ['linux', 'x64'],
    ['linux', 'arm64'],
    ['darwin', 'arm64'],
    ['darwin', 'x64'],
    ['win32', 'x64'],
  ] as const;
  const fitting = (tag: string) =>
    machines.filter(([platform, arch]) => fits(tag, platform, arch)).map((m) => m.join());
  assert.deepEqual(fitting('manylinux_2_27_x86_64'), ['linux,x64']);
  assert.deepEqual(fitting('manylinux_2_27_aarch64'), ['linux,arm64']);
  assert.deepEqual(fitting('macosx_12_0_arm64'), ['darwin,arm64']);
  assert.deepEqual(fitting('macosx_12_0_universal2'), ['darwin,arm64', 'darwin,x64']);
  assert.deepEqual(fitting('win_amd64'), ['win32,x64']);
});

test('of several wheels the requested build is preferred, then the tested release', (t) => {
  if (process.platform !== 'linux' || process.arch !== 'x64') return t.skip('names are of Linux x64');
  const cpu = (version: string) => `tensorflow_cpu-${version}-cp312-cp312-manylinux_2_27_x86_64.whl`;
  const gpu = (version: string) => `tensorflow-${version}-cp311-cp311-manylinux_2_27_x86_64.whl`;
  const names = ['readme', cpu('2.20.0'), cpu('2.21.0'), cpu('2.22.0'), gpu('2.20.0'), gpu('2.21.0')];
  assert.equal(pickWheel(names, false), cpu('2.21.0'));
  assert.equal(pickWheel(names, true), gpu('2.21.0'));
  assert.equal(pickWheel([gpu('2.20.0')], false), gpu('2.20.0'));
  assert.equal(pickWheel([cpu('2.21.0')], true), undefined);
  assert.equal(pickWheel(['tensorflow-2.21.0-cp312-cp312-win_amd64.whl'], false), undefined);
});

test('the CUDA wheels are those of the extra and-cuda', () => {
  const metadata = [
    'Requires-Dist: numpy>=1.26.0',
    'Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"',
    'Requires-Dist: nvidia-cudnn-cu12 (<10.0,>=9.3.0.75) ; extra == "and-cuda"',
    'Requires-Dist: tensorflow-io-gcs-filesystem>=0.23.1; sys_platform != "win32" and extra == "gcs-filesystem"',
  ].join('\r\n');
  const wheels = companionWheels(metadata);
  assert.deepEqual(
    wheels.map(({ requirement }) => requirement),
    ['nvidia-cublas-cu12<13.0,>=12.5.3.2', 'nvidia-cudnn-cu12<10.0,>=9.3.0.75'],
  );
  for (const tag of [
    'manylinux_2_27_x86_64',
    'manylinux2014_x86_64',
    'manylinux_2_17_x86_64',
    'manylinux_2_5_x86_64',
  ]) {
    assert.ok(wheels[0]?.platforms.includes(tag), tag);
  }
  assert.equal(projectOf('nvidia-cudnn-cu12<10.0'), 'nvidia_cudnn_cu12');
});

test('CUDA libraries are loaded after their dependencies; parts that cuDNN opens itself are not', () => {
  const folder = 'nvidia/x/lib';
  const found = [
    'libcudnn_ops.so.9',
    'libcudnn.so.9',
    'libcublas.so.12',
    'libcublasLt.so.12',
    'libcudart.so.12',
    'libnvrtc-builtins.so.12.9',
  ];
  assert.deepEqual(
    orderCompanions(found.map((name) => `${folder}/${name}`)).map((path) => path.slice(folder.length + 1)),
    ['libcudart.so.12', 'libcublasLt.so.12', 'libcublas.so.12', 'libcudnn.so.9'],
  );
});
