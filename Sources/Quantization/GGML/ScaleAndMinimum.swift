/// The scale and the minimum by which 32 numbers become codes 0 to `highestCode` with the least squared error, numbers far from zero
/// weighing more: `x ~ scale * code - minimum`.
///
/// Codes are guessed from the range, on a little less to a little more than all codes; for each guess the line of least error
/// is solved for, and the best of the lines stays. A line that would begin above zero begins at zero.
struct ScaleAndMinimum {
    private(set) var scale: Float = 0
    /// Not negative: the line begins at its opposite.
    private(set) var minimum: Float = 0

    /// - Parameter codes: gets the codes that belong to the result, 32 of them.
    init(
        _ values: UnsafePointer<Float>, highestCode: Int32, firstStep: Float, steps: Int,
        codes: UnsafeMutablePointer<UInt8>
    ) {
        var sumOfSquares: Float = 0
        for j in 0..<32 { sumOfSquares += values[j] * values[j] }
        let base = (sumOfSquares / 32).squareRoot()
        /// An element's weight: its size, and that of all.
        @inline(__always) func weight(_ j: Int) -> Float { base + values[j].magnitude }

        var least = values[0]
        var most = values[0]
        var sumOfWeights = weight(0)
        var sumOfValues = sumOfWeights * values[0]
        for j in 1..<32 {
            if values[j] < least { least = values[j] }
            if values[j] > most { most = values[j] }
            sumOfWeights += weight(j)
            sumOfValues += weight(j) * values[j]
        }
        if least > 0 { least = 0 }
        let range = most - least
        guard most != least else {
            minimum = -least
            for j in 0..<32 { codes[j] = 0 }
            return
        }
        let top = Float(highestCode)
        // What the first guess from the whole range is worth, without solving for a line.
        let first = top / range
        scale = 1 / first
        let start = least
        var bestError: Float = 0
        for j in 0..<32 {
            let code = max(0, min(highestCode, (first * (values[j] - start)).nearest))
            codes[j] = UInt8(code)
            let difference = scale * Float(code) + start - values[j]
            bestError += weight(j) * (difference * difference)
        }
        var begin = start
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 32) { guess in
            for step in 0...steps {
                let inverse = (firstStep + 0.1 * Float(step) + top) / (most - begin)
                var sumOfCodes: Float = 0
                var sumOfSquares: Float = 0
                var sumOfProducts: Float = 0
                for j in 0..<32 {
                    let code = Float(max(0, min(highestCode, (inverse * (values[j] - begin)).nearest)))
                    guess[j] = code
                    let weighted = weight(j) * code
                    sumOfCodes += weighted
                    sumOfSquares += weighted * code
                    sumOfProducts += weighted * values[j]
                }
                let determinant = sumOfWeights * sumOfSquares - sumOfCodes * sumOfCodes
                guard determinant > 0 else { continue }
                var slope = (sumOfWeights * sumOfProducts - sumOfValues * sumOfCodes) / determinant
                var origin = (sumOfSquares * sumOfValues - sumOfCodes * sumOfProducts) / determinant
                if origin > 0 {
                    origin = 0
                    slope = sumOfProducts / sumOfSquares
                }
                var error: Float = 0
                for j in 0..<32 {
                    let difference = slope * guess[j] + origin - values[j]
                    error += weight(j) * (difference * difference)
                }
                guard error < bestError else { continue }
                for j in 0..<32 { codes[j] = UInt8(guess[j]) }
                bestError = error
                scale = slope
                // Later guesses are of what is left of the range.
                begin = origin
            }
        }
        minimum = -begin
    }
}
