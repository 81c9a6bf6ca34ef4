import Bytes
import Kernels
import Tensors

/// The two moments of one tensor's gradient: of the gradient, and of its square.
enum Moments {
    case float32(Matrix, Matrix)
    case blockwise8(CodedMoment, CodedMoment)

    init(count: Int, states: AdamWSettings.States) {
        if states == .blockwise8, count >= AdamWSettings.smallest8bit {
            self = .blockwise8(CodedMoment(count: count), CodedMoment(count: count))
        } else {
            self = .float32(Matrix(rows: 1, columns: count), Matrix(rows: 1, columns: count))
        }
    }

    /// The arithmetic that goes with them.
    func form(_ states: AdamWSettings.States) -> AdamWKernel.Form {
        if case .blockwise8 = self { return .blockwise }
        return states == .blockwise8 ? .small : .torch
    }

    /// The memory of the states, by name.
    var parts: [(name: String, type: ElementType, bytes: UnsafeMutableRawBufferPointer, owner: AnyObject)] {
        func matrix(
            _ name: String, _ matrix: Matrix
        ) -> (String, ElementType, UnsafeMutableRawBufferPointer, AnyObject) {
            let bytes = UnsafeMutableRawBufferPointer(
                start: matrix.pointer, count: matrix.count * MemoryLayout<Float>.stride)
            return (name, .f32, bytes, matrix)
        }
        switch self {
        case .float32(let m, let v): return [matrix("m", m), matrix("v", v)]
        case .blockwise8(let m, let v):
            return [
                ("state1", .u8, m.codes.bytes, m.codes), ("absmax1", .f32, m.absmax.bytes, m.absmax),
                ("state2", .u8, v.codes.bytes, v.codes), ("absmax2", .f32, v.absmax.bytes, v.absmax),
            ]
        }
    }

    var byteCount: Int {
        switch self {
        case .float32(let m, let v): (m.count + v.count) * MemoryLayout<Float>.stride
        case .blockwise8(let m, let v): m.byteCount + v.byteCount
        }
    }
}

/// A moment as codes, a scale for each block of them. Zero to begin with, as bitsandbytes' are: code 0 at a scale of 0.
struct CodedMoment {
    let codes: ByteBuffer
    let absmax: ByteBuffer
    let count: Int

    init(count: Int) {
        self.count = count
        codes = ByteBuffer(count: count)
        absmax = ByteBuffer(
            count: (count + AdamWKernel.blockSize - 1) / AdamWKernel.blockSize * MemoryLayout<Float>.stride)
    }

    var byteCount: Int { codes.count + absmax.count }

    var pointers: AdamWKernel.Codes {
        AdamWKernel.Codes(
            codes: codes.pointer.assumingMemoryBound(to: UInt8.self),
            absmax: absmax.pointer.assumingMemoryBound(to: Float.self))
    }
}
