import Bytes
import CCairo

/// Lines, discs and text on one of Cairo's surfaces. Lengths in points, y downwards.
final class Canvas {
    struct Color: Equatable {
        let red, green, blue: Double
        var alpha = 1.0
    }

    enum Alignment: Double {
        case left = 0
        case center = 0.5
        case right = 1
    }

    private let context: OpaquePointer

    /// - Parameter surface: borrowed while the canvas lives.
    init(surface: OpaquePointer) {
        context = cairo_create(surface)
        cairo_select_font_face(context, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL)
        // Without hints text is as wide in a PNG as in an SVG.
        let options = cairo_font_options_create()
        cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY)
        cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE)
        cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF)
        cairo_set_font_options(context, options)
        cairo_font_options_destroy(options)
        cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
        cairo_set_line_cap(context, CAIRO_LINE_CAP_ROUND)
    }

    deinit { cairo_destroy(context) }

    /// - Throws: `CrayonError` when Cairo could not draw: no memory, or no font at all.
    func check() throws(CrayonError) {
        let status = cairo_status(context)
        guard status != CAIRO_STATUS_SUCCESS else { return }
        throw CrayonError(
            .io, in: "chart", found: String(cString: cairo_status_to_string(status)),
            advice: "Is a font installed (apt-get install fonts-dejavu-core)?")
    }

    func scale(by factor: Double) { cairo_scale(context, factor, factor) }

    func fill(_ color: Color) {
        use(color)
        cairo_paint(context)
    }

    func fillRectangle(x: Double, y: Double, width: Double, height: Double, _ color: Color) {
        use(color)
        cairo_rectangle(context, x, y, width, height)
        cairo_fill(context)
    }

    func line(_ points: [(x: Double, y: Double)], width: Double, dash: [Double] = [], _ color: Color) {
        guard let first = points.first else { return }
        use(color)
        cairo_set_line_width(context, width)
        cairo_set_dash(context, dash, Int32(dash.count), 0)
        cairo_move_to(context, first.x, first.y)
        // A line of one point is a dot.
        if points.count == 1 { cairo_line_to(context, first.x, first.y) }
        for point in points.dropFirst() { cairo_line_to(context, point.x, point.y) }
        cairo_stroke(context)
    }

    func disc(x: Double, y: Double, radius: Double, _ color: Color) {
        use(color)
        cairo_new_path(context)
        cairo_arc(context, x, y, radius, 0, 2 * Double.pi)
        cairo_fill(context)
    }

    func textWidth(_ text: String, size: Double) -> Double {
        cairo_set_font_size(context, size)
        var extents = cairo_text_extents_t()
        cairo_text_extents(context, text, &extents)
        return extents.x_advance
    }

    /// - Parameter y: of the base line.
    func text(
        _ text: String, x: Double, y: Double, size: Double, alignment: Alignment = .left, isUpright: Bool = false,
        _ color: Color
    ) {
        let width = textWidth(text, size: size)
        use(color)
        cairo_save(context)
        cairo_translate(context, x, y)
        if isUpright { cairo_rotate(context, -Double.pi / 2) }
        cairo_move_to(context, -width * alignment.rawValue, 0)
        cairo_show_text(context, text)
        cairo_restore(context)
        cairo_new_path(context)
    }

    private func use(_ color: Color) {
        cairo_set_source_rgba(context, color.red, color.green, color.blue, color.alpha)
    }
}

extension Canvas.Color {
    static let white = Canvas.Color(red: 1, green: 1, blue: 1)
    static let ink = Canvas.Color(red: 0.13, green: 0.13, blue: 0.15)
    static let grid = Canvas.Color(red: 0.88, green: 0.88, blue: 0.9)

    /// Okabe and Ito's, which the colour-blind can tell apart, without the yellow that white swallows.
    static let series = [
        Canvas.Color(red: 0, green: 0.447, blue: 0.698),
        Canvas.Color(red: 0.835, green: 0.369, blue: 0),
        Canvas.Color(red: 0, green: 0.62, blue: 0.451),
        Canvas.Color(red: 0.8, green: 0.475, blue: 0.655),
        Canvas.Color(red: 0.337, green: 0.706, blue: 0.914),
        Canvas.Color(red: 0.902, green: 0.624, blue: 0),
        Canvas.Color(red: 0.35, green: 0.35, blue: 0.38),
    ]
}
