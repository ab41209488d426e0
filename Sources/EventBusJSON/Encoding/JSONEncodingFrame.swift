/// The progress of one value that is being encoded by its type's `encode(to:)`.
///
/// It holds no references, because it is copied for every value.
struct JSONEncodingFrame {
    enum Kind: UInt8 {
        /// Nothing has been encoded yet.
        case empty
        /// A complete value has been encoded through a single value container.
        case single
        case array, object
    }

    /// A number that belongs to no container, not even to a refused one, which has the number zero.
    static let closed = UInt32.max

    /// The number that containers of this value know. A number is never reused within one encoding.
    var id: UInt32
    var kind: Kind = .empty
    /// A Boolean value indicating whether members are sorted by name at the end.
    var isSorted = false
    /// A Boolean value indicating whether a later member replaced an earlier one of the same name.
    var hasReplaced = false
    /// In an array without an order, the number of elements that are sorted as a unit. Otherwise zero.
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
    /// A bit for each hash of a member's name, which identifies most new names without a search.
    var seen: UInt64 = 0
    /// The type whose `encode(to:)` is running.
    var type: (any Any.Type)?
    /// A Boolean value indicating whether the members are stored in a `JSONMemberTable` because there are many.
    var hasTable = false
}

/// A member of an object, or an element of an array without an order, that has been written.
struct JSONEncodedMember {
    /// The offset of its first byte, which is the quotation mark before its name.
    var start: Int
    /// The length in bytes of the name as it was written, without the quotation marks.
    var nameLength: Int32
    var hash: UInt32
    /// The index of the nested container that is its value, or -1.
    var child: Int32 = -1
    var isReplaced = false
}
