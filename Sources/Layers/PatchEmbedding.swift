public import Tensors

/// The convolution whose stride is its kernel's size, as a matrix product over cut-out patches.
public enum PatchEmbedding {
    /// Cuts a picture into patches, row by row of the grid.
    /// - Parameters:
    ///   - pixels: `[3, size, size]`
    ///   - patch: pixels a side of a patch; divides `size`.
    /// - Returns: `[patches, 3 * patch * patch]`, in the order of a convolution's weight `[out, 3, patch, patch]`.
    public static func columns(of pixels: [Float], size: Int, patch: Int) -> Matrix {
        precondition(pixels.count == 3 * size * size && patch > 0 && size % patch == 0)
        let side = size / patch
        let columns = Matrix(rows: side * side, columns: 3 * patch * patch)
        pixels.withUnsafeBufferPointer { pixels in
            guard let pixels = pixels.baseAddress else { return }
            for row in 0..<side {
                for column in 0..<side {
                    var target = columns.pointer + (row * side + column) * columns.columns
                    for channel in 0..<3 {
                        for line in 0..<patch {
                            let source = (channel * size + row * patch + line) * size + column * patch
                            target.update(from: pixels + source, count: patch)
                            target += patch
                        }
                    }
                }
            }
        }
        return columns
    }
}
