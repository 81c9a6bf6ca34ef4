import Bytes
import Checkpoints

/// Where tensors go: each in order, from its first byte to its last.
protocol TensorSink {
    func append(_ bytes: UnsafeRawBufferPointer, to name: String, at offset: Int) throws(CrayonError)
    func commit() throws(CrayonError)
}

extension SafetensorsWriter: TensorSink {
    func append(_ bytes: UnsafeRawBufferPointer, to name: String, at offset: Int) throws(CrayonError) {
        try write(bytes, of: name, at: offset)
    }
}

extension ShardedSafetensorsWriter: TensorSink {
    func append(_ bytes: UnsafeRawBufferPointer, to name: String, at offset: Int) throws(CrayonError) {
        try write(bytes, of: name, at: offset)
    }
}

extension PyTorchWriter: TensorSink {
    func append(_ bytes: UnsafeRawBufferPointer, to name: String, at offset: Int) throws(CrayonError) {
        try append(bytes, to: name)
    }
}

extension NumPyWriter: TensorSink {
    func append(_ bytes: UnsafeRawBufferPointer, to name: String, at offset: Int) throws(CrayonError) {
        try append(bytes, to: name)
    }
}
