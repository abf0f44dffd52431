//! Sets of roles.

use traincheck_schema::record::Role;

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u32);

const _: () = assert!(Role::ALL.len() <= u32::BITS as usize);

impl Roles {
    /// None.
    pub const NONE: Roles = Roles(0);
    /// All of them.
    pub const ALL: Roles = Roles::of(Role::ALL);

    /// These.
    pub const fn of(roles: &[Role]) -> Roles {
        let (mut bits, mut index) = (0, 0);
        while index < roles.len() {
            bits |= 1 << roles[index] as u32;
            index += 1;
        }
        Roles(bits)
    }

    /// These and those.
    pub const fn and(self, other: Roles) -> Roles {
        Roles(self.0 | other.0)
    }

    /// Whether it is among them.
    pub const fn has(self, role: Role) -> bool {
        self.0 >> role as u32 & 1 == 1
    }

    /// Them, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| self.has(*role))
    }
}
