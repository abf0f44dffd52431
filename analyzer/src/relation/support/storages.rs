//! When to say which parameters share storage: at some looks after storages have changed. Who shares what is found out
//! once, and not at every look.

use traincheck_schema::record::VariableKind;

use crate::scene::variables::{VarId, Variable};
use crate::scene::{Cut, Look, Scene};

/// At so many looks it is said.
const ANNOUNCED: u32 = 4;

/// Looks at the return of optimizers' steps, as far as storages are concerned.
#[derive(Debug, Default)]
pub struct Storages {
    /// As of [`crate::scene::variables::Variables::storages`].
    known: Option<u32>,
    /// Iteration and step in which they last changed.
    pub changed: (u32, u32),
    announced: u32,
    looks: u32,
}

impl Storages {
    /// One more look; whether storages have changed since the one before.
    pub fn have_changed(&mut self, look: &Look, scene: &Scene) -> bool {
        self.looks = self.looks.saturating_add(1);
        let now = scene.variables.storages();
        if self.known.replace(now) == Some(now) {
            return false;
        }
        self.changed = (look.iteration, look.step);
        self.announced = 0;
        true
    }

    /// Why the look gives no verdict, if it gives none.
    pub fn cut(&self, look: &Look, scene: &Scene) -> Option<Cut> {
        scene.is_lossy().then_some(Cut::Loss).or(Scene::too_early(look.iteration, self.looks))
    }

    /// Whether it is to be said at this look. What gives no verdict has not been said.
    pub fn announce(&mut self, cut: Option<Cut>) -> bool {
        let due = self.announced < ANNOUNCED;
        self.announced += u32::from(due && cut.is_none());
        due
    }
}

/// The parameters that a look found, in order, with their storage.
pub fn parameters<'a>(
    look: &Look,
    scene: &'a Scene,
) -> impl Iterator<Item = (VarId, &'a Variable)> + Clone + use<'a> {
    let time = look.time;
    let live = move |(_, variable): &(VarId, &Variable)| {
        variable.kind == VariableKind::Parameter && variable.looked == time && variable.storage != 0
    };
    scene.variables.iter().filter(live)
}
