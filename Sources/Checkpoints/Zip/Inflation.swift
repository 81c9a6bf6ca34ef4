import Bytes
import CZlib

/// Raw deflate streams (RFC 1951) through zlib, into memory of a size that is known before.
enum Inflation {
    enum Outcome: Equatable {
        /// The stream ended when `made` bytes had been made.
        case ended(made: Int, read: Int)
        /// The memory is full and the stream goes on.
        case longer
        case damaged
    }

    /// - Parameter output: memory that the caller has bounded; nothing else is taken but zlib's window.
    static func inflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Outcome {
        var stream = z_stream()
        guard inflateInit2_(&stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            return .damaged
        }
        defer { inflateEnd(&stream) }
        var read = 0
        var made = 0
        // A byte past the end, so that zlib can reach the end of the stream and a longer one shows.
        var spill: UInt8 = 0
        return withUnsafeMutableBytes(of: &spill) { spill in
            while true {
                // zlib counts in 32 bits.
                let available = min(input.count - read, 1 << 30)
                let room = output.count - made
                let target = room > 0 ? UnsafeMutableRawBufferPointer(rebasing: output[made...]) : spill
                let space = min(target.count, 1 << 30)
                stream.next_in = UnsafeMutablePointer(
                    mutating: input.baseAddress?.advanced(by: read).assumingMemoryBound(to: UInt8.self))
                stream.avail_in = UInt32(available)
                stream.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                stream.avail_out = UInt32(space)
                let result = CZlib.inflate(&stream, Z_NO_FLUSH)
                read += available - Int(stream.avail_in)
                let written = space - Int(stream.avail_out)
                if room > 0 { made += written } else if written > 0 { return .longer }
                if result == Z_STREAM_END { return .ended(made: made, read: read) }
                // No progress, or Z_BUF_ERROR: the input ended before the stream.
                guard result == Z_OK, written > 0 || Int(stream.avail_in) < available else { return .damaged }
            }
        }
    }

    /// CRC-32 as zip has it.
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = bytes.baseAddress else { return 0 }
        return UInt32(truncatingIfNeeded: crc32_z(0, base.assumingMemoryBound(to: UInt8.self), bytes.count))
    }
}
