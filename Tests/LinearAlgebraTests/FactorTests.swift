import Bytes
import LinearAlgebra
import Tensors
import Testing

@Suite struct FactorTests {
    @Test(arguments: [(1, 1), (7, 5), (129, 64), (300, 33), (40, 90)]) func fullDecomposition(shape: (Int, Int)) throws
    {
        let a = Matrices.random(shape.0, shape.1, seed: 1)
        let svd = try SingularValueDecomposition.full(of: a)
        #expect(svd.count == min(shape.0, shape.1))
        #expect(Matrices.residual(a, svd) < 2e-6)
        #expect(Matrices.distanceFromOrthonormal(svd.u) < 5e-6 && Matrices.distanceFromOrthonormal(svd.v) < 5e-6)
        #expect(svd.values == svd.values.sorted(by: >))
    }

    @Test func fullOfTooLowARank() throws {
        let a = try Matrices.planted(120, 90, values: [2, 1], seed: 2)
        #expect(try SingularValueDecomposition.full(of: a).count <= 4)
    }

    @Test(arguments: [(1, 1), (50, 50), (333, 17)]) func thinQR(shape: (Int, Int)) throws {
        let a = Matrices.random(shape.0, shape.1, seed: 3)
        let qr = try ThinQR(of: a)
        #expect(Matrices.distanceFromOrthonormal(qr.q) < 2e-6)
        let product = TallProduct.multiply(qr.q, qr.r)
        for index in 0..<a.count { #expect((product.pointer[index] - a.pointer[index]).magnitude < 1e-5) }
        for row in 0..<shape.1 { for column in 0..<row { #expect(qr.r.pointer[row * shape.1 + column] == 0) } }
    }

    @Test func thinQROfAWideMatrix() throws {
        let error = #expect(throws: CrayonError.self) { try ThinQR(of: Matrix(rows: 3, columns: 4)) }
        #expect(error?.found == "[3, 4]")
    }

    @Test(arguments: [(90, 70, 8), (10, 70, 20)]) func decompositionOfAProduct(shape: (Int, Int, Int)) throws {
        let b = Matrices.random(shape.0, shape.2, seed: 4)
        let a = Matrices.random(shape.2, shape.1, seed: 5)
        let svd = try SingularValueDecomposition.ofProduct(b, a)
        let product = TallProduct.multiply(b, a)
        #expect(Matrices.residual(product, svd) < 2e-6)
        let full = try SingularValueDecomposition.full(of: product)
        for (value, exact) in zip(svd.values, full.values) {
            #expect((value - exact).magnitude < 1e-5 * full.values[0])
        }
    }

    @Test func halvesThatDoNotFit() {
        let error = #expect(throws: CrayonError.self) {
            try SingularValueDecomposition.ofProduct(Matrix(rows: 5, columns: 2), Matrix(rows: 3, columns: 5))
        }
        #expect(error?.found == "[5, 2] times [3, 5]")
    }
}
