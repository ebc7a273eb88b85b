// Imported before anything else: makes TensorFlow use an allocator that counts, so that the trace of a run has the
// bytes in use (op-times.ts).

process.env.TF_CPU_ALLOCATOR_USE_BFC = '1';
