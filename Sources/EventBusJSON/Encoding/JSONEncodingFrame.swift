/// The progress of one value that is being encoded by its type's `encode(to:)`.
///
/// It holds no references, because it is copied for every value.
struct JSONEncodingFrame {
    enum Kind: UInt8 {
        /// Nothing was encoded yet.
        case empty
        /// A complete value was encoded through a single value container.
        case single
        case array, object
    }

    /// The number of no container: not of those that were refused, which have the number zero, either.
    static let closed = UInt32.max

    /// The number that containers of this value know. Numbers are never used again within one encoding.
    var id: UInt32
    var kind: Kind = .empty
    /// A Boolean value that indicates whether members are sorted by name at the end.
    var isSorted = false
    /// A Boolean value that indicates whether a later member replaced one of equal name.
    var hasReplaced = false
    /// In an array without an order: how many elements make a unit to sort. Otherwise zero.
    var unit: UInt8 = 0
    /// The number of containers around this value.
    var depth: Int32
    /// The number of members or elements.
    var count: Int = 0
    /// The offset of the value's first byte.
    var start: Int
    /// The position of its first member, and of its first child.
    var firstMember: Int
    var firstChild: Int
    /// A bit for each hash of a member's name, to find most names that are new without a search.
    var seen: UInt64 = 0
    /// The type whose `encode(to:)` runs.
    var type: (any Any.Type)?
    /// A Boolean value that indicates whether the members are in a `JSONMemberTable`, because they are many.
    var hasTable = false
}

/// A member of an object, or an element of an array without an order, that has been written.
struct JSONEncodedMember {
    /// The offset of its first byte: of the quotation mark before its name.
    var start: Int
    /// The bytes of the name as it was written, without the quotation marks.
    var nameLength: Int32
    var hash: UInt32
    /// The position of the nested container that is its value, or -1.
    var child: Int32 = -1
    var isReplaced = false
}
