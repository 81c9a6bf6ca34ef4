import Architecture

enum PanopticCategoryFixture {
    static let ship = PanopticCategory(id: 999, name: "ship", isThing: true)
}
