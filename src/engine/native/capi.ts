// TensorFlow's C API, declared through koffi: no compiler and no native addon. This file has the signatures and the
// loading of the library; its callers are in the other files of the engine. Pointers are opaque bigints.

import type { LibraryHandle } from 'koffi';
import { EngineError } from '../../util/errors.ts';
import { type LibraryFiles, locateLibrary } from '../library/locate.ts';
import { keepLoaded, koffi } from './koffi.ts';
import { quietly } from './quietly.ts';
import { withSignalsHeld } from './signals.ts';

export type Pointer = bigint;

/** TF_Output: output number `index` of an operation. */
export interface GraphOutput {
  readonly oper: Pointer;
  readonly index: number;
}

koffi.struct('TF_Output', { oper: 'void*', index: 'int' });
const BUFFER = koffi.struct('TF_Buffer', { data: 'void*', length: 'size_t', deallocator: 'void*' });

type Native<Arguments extends readonly unknown[], Result = void> = ((...args: Arguments) => Result) & {
  // koffi's call outside the event loop: the same arguments, then a callback.
  async(...args: [...Arguments, (error: Error | null, result: Result) => void]): void;
};

function declare(library: LibraryHandle, libc: LibraryHandle) {
  const f = <Arguments extends readonly unknown[], Result = void>(signature: string) =>
    library.func(signature) as unknown as Native<Arguments, Result>;
  /** What starts threads, which take on this thread's mask of signals, or computes in this thread. */
  const held: typeof f = (signature) => {
    const native = f<never[], never>(signature);
    return Object.assign(withSignalsHeld(native), { async: native.async }) as never;
  };
  return {
    version: f<[], string>('const char* TF_Version()'),

    newStatus: f<[], Pointer>('void* TF_NewStatus()'),
    deleteStatus: f<[Pointer]>('void TF_DeleteStatus(void*)'),
    statusCode: f<[Pointer], number>('int TF_GetCode(void*)'),
    statusMessage: f<[Pointer], string>('const char* TF_Message(void*)'),

    allOps: f<[], Pointer>('void* TF_GetAllOpList()'),
    newBuffer: f<[], Pointer>('void* TF_NewBuffer()'),
    newBufferFrom: f<[Uint8Array, number], Pointer>('void* TF_NewBufferFromString(const void*, size_t)'),
    deleteBuffer: f<[Pointer]>('void TF_DeleteBuffer(void*)'),

    allocateTensor: f<[number, readonly bigint[], number, number], Pointer>(
      'void* TF_AllocateTensor(int, int64_t*, int, size_t)',
    ),
    newTensor: f<[number, readonly bigint[], number, Pointer, number, Pointer, null], Pointer>(
      'void* TF_NewTensor(int, int64_t*, int, void*, size_t, void*, void*)',
    ),
    deleteTensor: f<[Pointer]>('void TF_DeleteTensor(void*)'),
    tensorData: f<[Pointer], Pointer>('void* TF_TensorData(void*)'),
    tensorBytes: f<[Pointer], bigint | number>('size_t TF_TensorByteSize(void*)'),
    tensorType: f<[Pointer], number>('int TF_TensorType(void*)'),
    tensorRank: f<[Pointer], number>('int TF_NumDims(void*)'),
    tensorDim: f<[Pointer, number], bigint | number>('int64_t TF_Dim(void*, int)'),
    stringInit: f<[Pointer]>('void TF_StringInit(void*)'),
    stringCopy: f<[Pointer, Uint8Array, number]>('void TF_StringCopy(void*, const void*, size_t)'),
    stringData: f<[Pointer], Pointer>('void* TF_StringGetDataPointer(void*)'),
    stringSize: f<[Pointer], bigint | number>('size_t TF_StringGetSize(void*)'),

    newGraph: f<[], Pointer>('void* TF_NewGraph()'),
    deleteGraph: f<[Pointer]>('void TF_DeleteGraph(void*)'),
    newOperation: f<[Pointer, string, string], Pointer>(
      'void* TF_NewOperation(void*, const char*, const char*)',
    ),
    finishOperation: f<[Pointer, Pointer], Pointer | null>('void* TF_FinishOperation(void*, void*)'),
    setDevice: f<[Pointer, string]>('void TF_SetDevice(void*, const char*)'),
    addInput: f<[Pointer, GraphOutput]>('void TF_AddInput(void*, TF_Output)'),
    addInputList: f<[Pointer, readonly GraphOutput[], number]>(
      'void TF_AddInputList(void*, TF_Output*, int)',
    ),
    addControlInput: f<[Pointer, Pointer]>('void TF_AddControlInput(void*, void*)'),
    setAttrString: f<[Pointer, string, Uint8Array, number]>(
      'void TF_SetAttrString(void*, const char*, const void*, size_t)',
    ),
    setAttrStringList: f<[Pointer, string, readonly string[], readonly bigint[], number]>(
      'void TF_SetAttrStringList(void*, const char*, const char**, size_t*, int)',
    ),
    setAttrInt: f<[Pointer, string, bigint]>('void TF_SetAttrInt(void*, const char*, int64_t)'),
    setAttrIntList: f<[Pointer, string, readonly bigint[], number]>(
      'void TF_SetAttrIntList(void*, const char*, int64_t*, int)',
    ),
    setAttrFloat: f<[Pointer, string, number]>('void TF_SetAttrFloat(void*, const char*, float)'),
    setAttrBool: f<[Pointer, string, number]>('void TF_SetAttrBool(void*, const char*, uint8_t)'),
    setAttrType: f<[Pointer, string, number]>('void TF_SetAttrType(void*, const char*, int)'),
    setAttrShape: f<[Pointer, string, readonly bigint[], number]>(
      'void TF_SetAttrShape(void*, const char*, int64_t*, int)',
    ),
    setAttrTensor: f<[Pointer, string, Pointer, Pointer]>(
      'void TF_SetAttrTensor(void*, const char*, void*, void*)',
    ),
    setShape: f<[Pointer, GraphOutput, readonly bigint[], number, Pointer]>(
      'void TF_GraphSetTensorShape(void*, TF_Output, int64_t*, int, void*)',
    ),
    registeredKernels: f<[string, Pointer], Pointer>(
      'void* TF_GetRegisteredKernelsForOp(const char*, void*)',
    ),
    graphToFunction: f<
      [
        body: Pointer,
        name: string,
        hasHash: number,
        operationCount: number,
        operations: null,
        inputCount: number,
        inputs: readonly GraphOutput[],
        outputCount: number,
        outputs: readonly GraphOutput[],
        outputNames: null,
        options: null,
        description: null,
        status: Pointer,
      ],
      Pointer
    >(
      'void* TF_GraphToFunction(void*, const char*, uint8_t, int, void*, int, TF_Output*, int, TF_Output*, void*, void*, void*, void*)',
    ),
    copyFunction: f<[Pointer, Pointer, null, Pointer]>(
      'void TF_GraphCopyFunction(void*, void*, void*, void*)',
    ),
    deleteFunction: f<[Pointer]>('void TF_DeleteFunction(void*)'),
    graphToGraphDef: f<[Pointer, Pointer, Pointer]>('void TF_GraphToGraphDef(void*, void*, void*)'),
    operationType: f<[Pointer], string>('const char* TF_OperationOpType(void*)'),
    operationName: f<[Pointer], string>('const char* TF_OperationName(void*)'),
    outputType: f<[GraphOutput], number>('int TF_OperationOutputType(TF_Output)'),
    outputCount: f<[Pointer], number>('int TF_OperationNumOutputs(void*)'),
    outputRank: f<[Pointer, GraphOutput, Pointer], number>(
      'int TF_GraphGetTensorNumDims(void*, TF_Output, void*)',
    ),
    outputShape: f<[Pointer, GraphOutput, (bigint | number)[], number, Pointer]>(
      'void TF_GraphGetTensorShape(void*, TF_Output, _Out_ int64_t*, int, void*)',
    ),

    newSessionOptions: f<[], Pointer>('void* TF_NewSessionOptions()'),
    deleteSessionOptions: f<[Pointer]>('void TF_DeleteSessionOptions(void*)'),
    setConfig: f<[Pointer, Uint8Array, number, Pointer]>('void TF_SetConfig(void*, void*, size_t, void*)'),
    setTarget: f<[Pointer, string]>('void TF_SetTarget(void*, const char*)'),
    newSession: held<[Pointer, Pointer, Pointer], Pointer>('void* TF_NewSession(void*, void*, void*)'),
    closeSession: f<[Pointer, Pointer]>('void TF_CloseSession(void*, void*)'),
    deleteSession: f<[Pointer, Pointer]>('void TF_DeleteSession(void*, void*)'),
    sessionRun: held<
      [
        session: Pointer,
        options: Pointer | null,
        feeds: GraphOutput[],
        values: Pointer[],
        feedCount: number,
        fetches: GraphOutput[],
        results: (Pointer | null)[],
        fetchCount: number,
        targets: Pointer[],
        targetCount: number,
        metadata: Pointer | null,
        status: Pointer,
      ]
    >(
      'void TF_SessionRun(void*, void*, TF_Output*, void**, int, TF_Output*, _Out_ void**, int, void**, int, void*, void*)',
    ),
    listDevices: f<[Pointer, Pointer], Pointer>('void* TF_SessionListDevices(void*, void*)'),
    deviceCount: f<[Pointer], number>('int TF_DeviceListCount(void*)'),
    deviceName: f<[Pointer, number, Pointer], string>('const char* TF_DeviceListName(void*, int, void*)'),
    deviceType: f<[Pointer, number, Pointer], string>('const char* TF_DeviceListType(void*, int, void*)'),
    deviceMemory: f<[Pointer, number, Pointer], number>(
      'int64_t TF_DeviceListMemoryBytes(void*, int, void*)',
    ),
    deleteDeviceList: f<[Pointer]>('void TF_DeleteDeviceList(void*)'),

    newServer: held<[Uint8Array, number, Pointer], Pointer>('void* TF_NewServer(const void*, size_t, void*)'),
    startServer: held<[Pointer, Pointer]>('void TF_ServerStart(void*, void*)'),
    serverTarget: f<[Pointer], string>('const char* TF_ServerTarget(void*)'),

    eagerOptions: f<[], Pointer>('void* TFE_NewContextOptions()'),
    deleteEagerOptions: f<[Pointer]>('void TFE_DeleteContextOptions(void*)'),
    setEagerConfig: f<[Pointer, Uint8Array, number, Pointer]>(
      'void TFE_ContextOptionsSetConfig(void*, const void*, size_t, void*)',
    ),
    eagerContext: held<[Pointer, Pointer], Pointer>('void* TFE_NewContext(void*, void*)'),
    eagerHandle: f<[Pointer, Pointer], Pointer>('void* TFE_NewTensorHandle(void*, void*)'),
    deleteEagerHandle: f<[Pointer]>('void TFE_DeleteTensorHandle(void*)'),
    eagerResolve: f<[Pointer, Pointer], Pointer>('void* TFE_TensorHandleResolve(void*, void*)'),
    eagerType: f<[Pointer], number>('int TFE_TensorHandleDataType(void*)'),
    eagerRank: f<[Pointer, Pointer], number>('int TFE_TensorHandleNumDims(void*, void*)'),
    eagerDim: f<[Pointer, number, Pointer], bigint | number>(
      'int64_t TFE_TensorHandleDim(void*, int, void*)',
    ),
    eagerOp: f<[Pointer, string, Pointer], Pointer>('void* TFE_NewOp(void*, const char*, void*)'),
    deleteEagerOp: f<[Pointer]>('void TFE_DeleteOp(void*)'),
    eagerAddInput: f<[Pointer, Pointer, Pointer]>('void TFE_OpAddInput(void*, void*, void*)'),
    eagerAttrString: f<[Pointer, string, Uint8Array, number]>(
      'void TFE_OpSetAttrString(void*, const char*, const void*, size_t)',
    ),
    eagerAttrInt: f<[Pointer, string, bigint]>('void TFE_OpSetAttrInt(void*, const char*, int64_t)'),
    eagerAttrIntList: f<[Pointer, string, readonly bigint[], number]>(
      'void TFE_OpSetAttrIntList(void*, const char*, int64_t*, int)',
    ),
    eagerAttrFloat: f<[Pointer, string, number]>('void TFE_OpSetAttrFloat(void*, const char*, float)'),
    eagerAttrBool: f<[Pointer, string, number]>('void TFE_OpSetAttrBool(void*, const char*, uint8_t)'),
    eagerAttrType: f<[Pointer, string, number]>('void TFE_OpSetAttrType(void*, const char*, int)'),
    eagerAttrShape: f<[Pointer, string, readonly bigint[], number, Pointer]>(
      'void TFE_OpSetAttrShape(void*, const char*, int64_t*, int, void*)',
    ),
    eagerExecute: held<[Pointer, (Pointer | null)[], number[], Pointer]>(
      'void TFE_Execute(void*, _Out_ void**, _Inout_ int*, void*)',
    ),

    /** Copies host memory to native memory. */
    copyIn: libc.func('void* memcpy(void*, const void*, size_t)') as unknown as Native<
      [Pointer, ArrayBufferView, number],
      Pointer
    >,
    /** Copies native memory to host memory. */
    copyOut: libc.func('void* memcpy(void*, void*, size_t)') as unknown as Native<
      [ArrayBufferView, Pointer, number],
      Pointer
    >,
    exitNow: libc.func('void _exit(int)') as unknown as Native<[number]>,
  };
}

export type CApi = ReturnType<typeof declare>;

let loaded: CApi | undefined;

/**
 * The C API; the first call loads libtensorflow.
 * @throws EngineError when the library is missing or does not load
 */
export function capi(): CApi {
  loaded ??= load(locateLibrary());
  return loaded;
}

function load(files: LibraryFiles): CApi {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // By default TensorFlow uses oneDNN on CPUs with AVX-512 only; convolutions are faster with it on others too.
  process.env.TF_ENABLE_ONEDNN_OPTS ??= '1';
  try {
    for (const companion of files.companions) koffi.load(companion, { global: true, deep: false });
    const libc = koffi.load(process.platform === 'darwin' ? 'libSystem.dylib' : 'libc.so.6');
    // Symbols are bound when first called (`lazy`): a tenth of a second less for each process.
    quietly(libc, () => koffi.load(files.framework, { global: true, deep: false, lazy: true }));
    const library = koffi.load(files.tensorflow, { lazy: true });
    keepLoaded([...files.companions, files.framework, files.tensorflow]);
    return declare(library, libc);
  } catch (error) {
    throw new EngineError(`libtensorflow does not load: ${(error as Error).message}`, {
      code: 'E_LIBRARY_LOAD',
      where: files.tensorflow,
      fix: 'mm doctor shows the cause; mm setup with `force` installs the library again',
      cause: error,
    });
  }
}

/** A copy of the bytes of a TF_Buffer. */
export function copyBuffer(api: CApi, buffer: Pointer): Uint8Array {
  const { data, length } = koffi.decode(buffer, BUFFER) as { data: Pointer; length: number | bigint };
  const bytes = new Uint8Array(Number(length));
  if (bytes.length > 0) api.copyOut(bytes, data, bytes.length);
  return bytes;
}

/**
 * Runs `call` with a fresh TF_Status.
 * @throws TensorFlowError with TensorFlow's message after `what`
 */
export function checked<T>(api: CApi, what: string, call: (status: Pointer) => T): T {
  const status = api.newStatus();
  try {
    const result = call(status);
    if (api.statusCode(status) !== 0) throw new TensorFlowError(what, api.statusMessage(status));
    return result;
  } finally {
    api.deleteStatus(status);
  }
}

/** An error that TensorFlow reported. `operation` names the op or function. */
export class TensorFlowError extends Error {
  readonly operation: string;
  readonly reason: string;

  constructor(operation: string, reason: string, options?: ErrorOptions) {
    super(`${operation}: ${reason}`, options);
    this.name = 'TensorFlowError';
    this.operation = operation;
    this.reason = reason;
  }
}
