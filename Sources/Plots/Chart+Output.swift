public import Bytes
import CCairo

extension Chart {
    /// The chart as an SVG file. Text is drawn, so that it looks the same where the font is not installed.
    /// - Throws: `CrayonError` when Cairo cannot draw: no memory, or no font at all.
    public func svg() throws(CrayonError) -> [UInt8] {
        let sink = ByteSink()
        let size = drawnSize
        guard
            let surface = cairo_svg_surface_create_for_stream(
                ByteSink.take, Unmanaged.passUnretained(sink).toOpaque(), Double(size.width), Double(size.height))
        else { throw Chart.failure(CAIRO_STATUS_NO_MEMORY) }
        try withExtendedLifetime(sink) { () throws(CrayonError) in
            defer { cairo_surface_destroy(surface) }
            try draw(on: surface, scale: 1)
            cairo_surface_finish(surface)
            let status = cairo_surface_status(surface)
            guard status == CAIRO_STATUS_SUCCESS else { throw Chart.failure(status) }
        }
        return Chart.withoutNumber(sink.bytes)
    }

    /// Cairo counts the surfaces of a process, and writes which one this is into the file.
    private static func withoutNumber(_ svg: [UInt8]) -> [UInt8] {
        let start = Array("<g id=\"surface".utf8)
        guard let place = svg.firstRange(of: start) else { return svg }
        let digits = svg[place.upperBound...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return Array(svg[..<place.upperBound] + svg[digits.endIndex...])
    }

    /// The chart as a PNG file.
    /// - Parameter scale: pixels to a point, between 0.25 and 4.
    /// - Throws: as `svg`.
    public func png(scale: Double = 2) throws(CrayonError) -> [UInt8] {
        let scale = scale.isFinite ? min(max(scale, 0.25), 4) : 1
        let size = drawnSize
        let sink = ByteSink()
        guard
            let surface = cairo_image_surface_create(
                CAIRO_FORMAT_RGB24, Int32((Double(size.width) * scale).rounded()),
                Int32((Double(size.height) * scale).rounded()))
        else { throw Chart.failure(CAIRO_STATUS_NO_MEMORY) }
        defer { cairo_surface_destroy(surface) }
        try draw(on: surface, scale: scale)
        let status = cairo_surface_write_to_png_stream(
            surface, ByteSink.take, Unmanaged.passUnretained(sink).toOpaque())
        guard status == CAIRO_STATUS_SUCCESS else { throw Chart.failure(status) }
        return sink.bytes
    }

    private func draw(on surface: OpaquePointer, scale: Double) throws(CrayonError) {
        let status = cairo_surface_status(surface)
        guard status == CAIRO_STATUS_SUCCESS else { throw Chart.failure(status) }
        let canvas = Canvas(surface: surface)
        canvas.scale(by: scale)
        ChartDrawing(self, on: canvas).draw()
        try canvas.check()
    }

    var drawnSize: (width: Int, height: Int) { (min(max(width, 200), 4000), min(max(height, 200), 4000)) }

    private static func failure(_ status: cairo_status_t) -> CrayonError {
        CrayonError(.io, in: "chart", found: String(cString: cairo_status_to_string(status)))
    }
}

/// Where Cairo writes to.
private final class ByteSink {
    var bytes: [UInt8] = []

    static let take: cairo_write_func_t = { closure, data, length in
        guard let closure, let data else { return CAIRO_STATUS_WRITE_ERROR }
        let sink = Unmanaged<ByteSink>.fromOpaque(closure).takeUnretainedValue()
        sink.bytes.append(contentsOf: UnsafeBufferPointer(start: data, count: Int(length)))
        return CAIRO_STATUS_SUCCESS
    }
}
