import Kernels
import Testing

/// Panel products against plain loops in double, for whichever variant is active.
enum PanelChecks {
    static func run() {
        var generator = SeededGenerator(seed: 31)
        let width = PanelProduct.width
        for (rows, count) in [(1, 1), (5, 3), (6, 16), (7, 1), (13, 129), (48, 40)] {
            let stride = count + 3
            let a = generator.floats(rows * stride)
            let v = generator.floats(count * width)
            let before = generator.floats(rows * width)
            let columnsBefore = generator.floats(count * width)
            var y = before
            var added = before
            var g = columnsBefore
            PanelProduct.multiply(a, stride: stride, rows: rows, count: count, by: v, into: &y)
            PanelProduct.multiply(a, stride: stride, rows: rows, count: count, by: v, into: &added, adding: true)
            PanelProduct.accumulate(transposed: a, stride: stride, rows: rows, count: count, by: before, into: &g)
            for row in 0..<rows {
                for column in 0..<width {
                    var exact = 0.0
                    for k in 0..<count { exact += Double(a[row * stride + k]) * Double(v[k * width + column]) }
                    let at = row * width + column
                    #expect((Double(y[at]) - exact).magnitude < 4e-7 * Double(count))
                    #expect((Double(added[at]) - exact - Double(before[at])).magnitude < 4e-7 * Double(count + 1))
                }
            }
            for k in 0..<count {
                for column in 0..<width {
                    let at = k * width + column
                    var exact = Double(columnsBefore[at])
                    for row in 0..<rows {
                        exact += Double(a[row * stride + k]) * Double(before[row * width + column])
                    }
                    #expect((Double(g[at]) - exact).magnitude < 4e-7 * Double(rows + 1))
                }
            }
        }
    }
}
